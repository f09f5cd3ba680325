/* The strips of the report and the video above them share one clock. */

const STEP_S = 1; // of an arrow key

/**
 * Hands the focus on when the control that had it is hidden.
 *
 * @param {HTMLElement} panel of the tab
 */
function keepFocus(panel) {
  let last = null;
  panel.addEventListener("focusin", ({ target }) => {
    last = target;
  });
  const handOn = () => {
    if (!last || last.checkVisibility() || document.activeElement !== document.body) return;
    const buttons = [...panel.querySelectorAll("#video-cancel, #video-new, #video-form button")];
    const next = buttons.find((button) => button.checkVisibility());
    if (next) next.focus();
  };
  // What is hidden loses the focus at the next drawing.
  const watcher = new MutationObserver(() => setTimeout(handOn, 50));
  watcher.observe(panel, { subtree: true, childList: true, attributeFilter: ["class", "style"] });
}

/** Starts the tab, whose report and video come and go; `element` is anywhere in it. */
export function start({ element }) {
  const panel = element.closest("[role=tabpanel]");
  const report = () => panel.querySelector(".fer-report");
  const player = () => panel.querySelector("#video-result video");
  const end = () => Number(report()?.dataset.end || 0);
  keepFocus(panel);

  function seek(time) {
    const video = player();
    if (video) video.currentTime = Math.min(Math.max(time, 0), video.duration || end());
  }

  panel.addEventListener("click", (event) => {
    const strip = event.target.closest(".strip");
    if (!strip) return;
    const box = strip.getBoundingClientRect();
    seek((end() * (event.clientX - box.left)) / box.width);
  });

  panel.addEventListener("keydown", (event) => {
    const video = player();
    if (!video || !event.target.closest(".strip")) return;
    const to = {
      ArrowLeft: video.currentTime - STEP_S,
      ArrowRight: video.currentTime + STEP_S,
      Home: 0,
      End: end(),
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    seek(to);
  });

  function follow({ target }) {
    if (!report() || target !== player() || !end()) return;
    const time = Math.min(target.currentTime, end());
    report().style.setProperty("--at", String(time / end()));
    for (const strip of report().querySelectorAll(".strip"))
      strip.setAttribute("aria-valuenow", time.toFixed(1));
  }

  // Events of a video do not bubble, but they can be caught on their way down.
  for (const kind of ["timeupdate", "seeked"]) panel.addEventListener(kind, follow, true);
}
