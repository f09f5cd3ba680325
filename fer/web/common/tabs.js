/* The tabs of the page, Gradio's or those of static/index.html, by their titles. */

/** Returns the tabs that are seen: Gradio keeps a copy of them to measure. */
export const findTabs = () =>
  [...document.querySelectorAll("[role=tablist] > [role=tab]")].filter((tab) => tab.offsetParent);

/** Returns the tab with a title; undefined where the page has none. */
export const findTab = (title) => findTabs().find((tab) => tab.textContent.trim() === title);

/** Shows a tab, which gets the focus. */
export function showTab(title) {
  const tab = findTab(title);
  if (!tab) return;
  tab.click();
  tab.focus({ preventScroll: true });
  tab.scrollIntoView({ block: "nearest" });
}
