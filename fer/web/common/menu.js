/* A menu: a <details> whose <summary> opens a list of buttons and links. */

const EDGE_PX = 8;

/** Moves what a menu opens sideways, until it is within the window. */
function keepInside(items) {
  items.style.translate = "";
  const { left, right } = items.getBoundingClientRect();
  const over = right - (document.documentElement.clientWidth - EDGE_PX);
  const shift = over > 0 ? -over : Math.max(0, EDGE_PX - left);
  if (shift) items.style.translate = `${shift}px`;
}

/** Keeps what a menu opens in sight; closes it after a choice, a click elsewhere, or Escape. */
export function bindMenu(menu) {
  const summary = menu.querySelector("summary");
  function close({ refocus }) {
    if (!menu.open) return;
    menu.open = false;
    if (refocus) summary.focus({ preventScroll: true });
  }
  menu.addEventListener("toggle", () => {
    if (menu.open) keepInside(menu.querySelector(".items"));
  });
  menu.addEventListener("click", (event) => {
    if (event.target.closest("a, button")) close({ refocus: true });
  });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    event.stopPropagation();
    close({ refocus: true });
  });
  document.addEventListener("click", (event) => {
    if (!menu.contains(event.target)) close({ refocus: false });
  });
}
