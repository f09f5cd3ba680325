/* Ways to give a picture: chosen, shot, pasted or dropped; and the one to the server. */

import { describeError, findObstacle, openCamera } from "../common/camera.js";
import { describeUnopened } from "./kinds.js";

const WAIT_MS = 50;
// A server that analyses another picture meanwhile.
const MAX_WAIT_MS = 60_000;
const SHOT_SIZE = [1920, 1080];
const SHOT_QUALITY = 0.95;

/** Whether a file without the type of a picture is one by its name: .heic, .jp2 or .mpo. */
export const isPictureByName = (file, endings) =>
  !file.type.startsWith("image/") &&
  endings.some((ending) => file.name.toLowerCase().endsWith(ending));

/**
 * Uploads a file through Gradio's input, as if the visitor had chosen it there.
 *
 * @param {File} file
 * @param {string} inputId of Gradio's component, which is hidden
 * @param {string[]} endings of names of pictures
 * @param {() => boolean} mayGo asked until the file goes
 * @returns {Promise<boolean>} whether it went
 */
export async function sendToServer(file, inputId, endings, mayGo) {
  const findInput = () => document.querySelector(`#${inputId} input[type=file]`);
  // It has none while it holds a picture.
  for (let waited = 0; !findInput(); waited += WAIT_MS) {
    if (waited > MAX_WAIT_MS) throw new Error("The server still has another picture.");
    await new Promise((resolve) => setTimeout(resolve, WAIT_MS));
    if (!mayGo()) return false;
  }
  if (!mayGo()) return false;
  const files = new DataTransfer();
  // Gradio accepts a file only if it has the type of a picture.
  const named = isPictureByName(file, endings);
  files.items.add(named ? new File([file], file.name, { type: "image/x-file" }) : file);
  const input = findInput();
  input.files = files.files;
  input.dispatchEvent(new Event("change", { bubbles: true }));
  return true;
}

/**
 * Takes pictures that are chosen, pasted while the tab is shown, or dropped on it.
 *
 * @param {HTMLElement} element holds photo.html
 * @param {Object} options
 * @param {string[]} options.endings of names of pictures
 * @param {(file: File, nFiles: number) => void} options.onPicture gets the first picture of so many
 *   files
 * @param {(text: string) => void} options.onRefused told of files without a picture
 * @param {(text: string) => void} options.onProblem
 */
export function acceptPictures(element, { endings, onPicture, onRefused, onProblem }) {
  const find = (selector) => element.querySelector(selector);
  const isShown = () => element.offsetParent !== null;
  const isPicture = (file) => file.type.startsWith("image/") || isPictureByName(file, endings);
  const input = find(".give input[type=file]");

  function take(files) {
    const picture = files.find(isPicture);
    if (picture) onPicture(picture, files.length);
    else if (files.length) onRefused(describeUnopened(files[0].name));
  }

  input.accept = ["image/*", ...endings].join(",");
  input.addEventListener("change", () => {
    take([...input.files]);
    input.value = ""; // so that the same picture can be chosen again
  });
  find(".choose").addEventListener("click", () => input.click());

  document.addEventListener("paste", (event) => {
    const files = [...event.clipboardData.files];
    if (!files.length || !isShown()) return;
    event.preventDefault();
    take(files);
  });
  const paste = find(".paste");
  paste.hidden = !(navigator.clipboard && navigator.clipboard.read);
  paste.addEventListener("click", async () => {
    try {
      const file = await readClipboard();
      if (file) onPicture(file);
      else onProblem("There is no picture in the clipboard.");
    } catch (error) {
      onProblem(`The clipboard cannot be read: ${error.message}`);
    }
  });

  const carriesFiles = (event) => isShown() && [...event.dataTransfer.types].includes("Files");
  const mark = (on) => {
    find(".drop").hidden = !on;
  };
  document.addEventListener("dragover", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    mark(true);
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) mark(false);
  });
  document.addEventListener("drop", (event) => {
    mark(false);
    if (!carriesFiles(event)) return;
    event.preventDefault();
    take([...event.dataTransfer.files]);
  });
}

/** Returns the picture in the clipboard as a file; null without one. */
async function readClipboard() {
  for (const item of await navigator.clipboard.read()) {
    const type = item.types.find((each) => each.startsWith("image/"));
    if (type) return new File([await item.getType(type)], `pasted.${type.slice(6)}`, { type });
  }
  return null;
}

/**
 * Lets the visitor take a picture with the camera.
 *
 * @param {HTMLElement} element holds photo.html
 * @param {Object} options
 * @param {(file: File) => void} options.onPicture
 * @param {(text: string) => void} options.onProblem "" once there is none any more
 */
export function acceptShots(element, { onPicture, onProblem }) {
  const find = (selector) => element.querySelector(selector);
  const view = find(".camera");
  const video = find(".camera video");
  let stream = null;
  let asked = 0; // to tell a camera that opens after the visitor gave up

  function close() {
    asked += 1;
    if (stream) stream.getTracks().forEach((track) => track.stop());
    stream = null;
    video.srcObject = null;
    view.hidden = true;
  }

  async function open() {
    const obstacle = findObstacle({
      isSecureContext: window.isSecureContext,
      mediaDevices: navigator.mediaDevices,
    });
    if (obstacle) return onProblem(obstacle);
    close();
    onProblem("");
    const mine = asked;
    try {
      const opened = await openCamera({ facingMode: "user" }, SHOT_SIZE);
      if (mine !== asked) return opened.getTracks().forEach((track) => track.stop());
      stream = opened;
      stream.getVideoTracks()[0].addEventListener("ended", () => {
        if (mine !== asked) return;
        close();
        onProblem("The camera was disconnected.");
      });
      video.srcObject = stream;
      view.hidden = false;
      // There is nothing to take before the first frame.
      find(".shutter").disabled = true;
      await video.play();
      find(".shutter").disabled = false;
      find(".shutter").focus({ preventScroll: true });
    } catch (error) {
      if (mine !== asked) return undefined;
      close();
      onProblem(describeError(error));
    }
    return undefined;
  }

  function shoot() {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    close();
    find(".shoot").focus({ preventScroll: true });
    canvas.toBlob(
      (blob) => {
        if (blob) onPicture(new File([blob], "photo.jpg", { type: "image/jpeg" }));
        else onProblem("This device has not enough free memory for the photo.");
      },
      "image/jpeg",
      SHOT_QUALITY,
    );
  }

  find(".shoot").addEventListener("click", () => (stream ? close() : open()));
  find(".shutter").addEventListener("click", shoot);
  find(".cancel").addEventListener("click", () => {
    close();
    find(".shoot").focus({ preventScroll: true });
  });
  // Nobody looks at the camera of a tab that was left.
  new IntersectionObserver(() => {
    if (stream && view.offsetParent === null) close();
  }).observe(view);
}
