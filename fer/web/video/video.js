/* The strips of the report and the video beside them share one clock. */

const STEP_S = 1; // of an arrow key

/** Starts the report; `element` holds what `fer.web.video.report` writes. */
export function start({ element }) {
  const player = () => document.querySelector("#video-result video");
  const end = () => Number(element.querySelector(".fer-report")?.dataset.end || 0);

  function seek(time) {
    const video = player();
    if (video) video.currentTime = Math.min(Math.max(time, 0), video.duration || end());
  }

  element.addEventListener("click", (event) => {
    const strip = event.target.closest(".strip");
    if (!strip) return;
    const box = strip.getBoundingClientRect();
    seek((end() * (event.clientX - box.left)) / box.width);
  });

  element.addEventListener("keydown", (event) => {
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

  // Events of a video do not bubble, but they can be caught on their way down.
  for (const kind of ["timeupdate", "seeked"])
    document.addEventListener(
      kind,
      (event) => {
        const report = element.querySelector(".fer-report");
        if (!report || event.target !== player() || !end()) return;
        const time = Math.min(event.target.currentTime, end());
        report.style.setProperty("--at", String(time / end()));
        for (const strip of report.querySelectorAll(".strip"))
          strip.setAttribute("aria-valuenow", time.toFixed(1));
      },
      true,
    );
}
