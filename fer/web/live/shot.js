/* The row below the video with the visitor's last snapshot, which is in this browser alone. */

import { download } from "../common/dom.js";
import { showTab } from "../common/tabs.js";
import { viewOf } from "../photo/photo.js";

const WAIT_MS = 50;
const PATIENCE_MS = 5000; // for the Photo tab, which starts when it is first shown

/** Shows the Photo tab, and analyses a picture there. */
async function openInPhoto(file) {
  showTab("Photo");
  for (let waited = 0; waited < PATIENCE_MS; waited += WAIT_MS) {
    const view = viewOf("photo");
    if (view) {
      view.give(file);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
  }
}

/**
 * Makes the row work.
 *
 * @param {HTMLElement} row
 * @returns {{show: Function, drop: Function}} `show({name, shown, plain})` shows a snapshot: Blobs
 *   with boxes, and of the frame alone; `drop()` forgets it
 */
export function bindShot(row) {
  const find = (selector) => row.querySelector(selector);
  let shot = null;

  function release() {
    if (shot) URL.revokeObjectURL(find("img").src);
    shot = null;
  }

  function show(taken) {
    release();
    shot = taken;
    find("img").src = URL.createObjectURL(taken.shown);
    row.hidden = false;
  }

  find(".keep").addEventListener("click", () => download(shot.shown, shot.name));
  find(".look").addEventListener("click", () => {
    const name = shot.name.replace(".png", ".jpg");
    openInPhoto(new File([shot.plain], name, { type: "image/jpeg" }));
  });
  function drop() {
    release();
    row.hidden = true;
  }

  find(".drop").addEventListener("click", drop);
  return { show, drop };
}
