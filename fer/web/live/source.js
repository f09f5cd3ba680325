/* What is watched: the visitor's camera or the sample clip, in one video element. */

import { openCamera } from "../common/camera.js";

/**
 * Shows a camera in a video element.
 *
 * @param {HTMLVideoElement} video
 * @param {Object} which constraints of the camera
 * @param {Object} options
 * @param {AbortSignal} options.signal of the session; a camera that opens too late is closed
 * @param {() => void} options.onLost called when the camera is unplugged during the session
 * @returns {Promise<?{isCamera: boolean, isMirrored: boolean, settings: Object, close: () => void}>}
 *   null if the session is over
 */
export async function watchCamera(video, which, { signal, onLost }) {
  const stream = await openCamera(which);
  const stop = () => stream.getTracks().forEach((track) => track.stop());
  if (signal.aborted) {
    stop();
    return null;
  }
  const [track] = stream.getVideoTracks();
  track.addEventListener("ended", () => {
    if (!signal.aborted) onLost();
  });
  const settings = track.getSettings();
  const close = () => {
    stop();
    if (video.srcObject === stream) video.srcObject = null;
  };
  signal.addEventListener("abort", stop);
  video.srcObject = stream;
  await video.play();
  return { isCamera: true, isMirrored: settings.facingMode !== "environment", settings, close };
}

/** Shows the clip at an absolute `url` again and again; returns the same as `watchCamera`. */
export async function watchClip(video, url) {
  const close = () => {
    if (video.src !== url) return;
    video.removeAttribute("src");
    video.load();
  };
  video.loop = true;
  video.src = url;
  try {
    await video.play();
  } catch (error) {
    close();
    throw error;
  }
  return { isCamera: false, isMirrored: false, settings: {}, close };
}
