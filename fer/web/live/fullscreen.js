/* Full screen. iPhones have it for nothing but a video: there the view fills the window. */

/**
 * Lets a button show a view in full screen.
 *
 * @returns {{toggle: () => void, isOn: () => boolean}}
 */
export function bindFullScreen(view, button) {
  const isOn = () => Boolean(document.fullscreenElement) || view.classList.contains("filled");
  function update() {
    button.textContent = isOn() ? "Leave full screen" : "Full screen";
    button.setAttribute("aria-pressed", String(isOn()));
  }
  function fillWindow(on) {
    view.classList.toggle("filled", on);
    update();
  }
  function toggle() {
    if (document.fullscreenElement) document.exitFullscreen();
    else if (view.classList.contains("filled")) fillWindow(false);
    else if (view.requestFullscreen) view.requestFullscreen().catch(() => fillWindow(true));
    else fillWindow(true);
  }
  button.addEventListener("click", toggle);
  document.addEventListener("fullscreenchange", update);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && view.classList.contains("filled")) fillWindow(false);
  });
  return { toggle, isOn };
}
