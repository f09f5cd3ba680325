/* The visitor's camera: opening it, the list to choose from, and what can go wrong. */

const PROBLEMS = {
  NotAllowedError:
    "The camera is blocked. Allow it for this page in the browser's address bar, then start again.",
  NotFoundError: "No camera was found. Connect one, or analyse a picture.",
  NotReadableError: "The camera is in use by another program. Close it there, then start again.",
  OverconstrainedError: "That camera is not available any more. Choose another one.",
};
const INSECURE =
  "Browsers open a camera only on https pages and on localhost. Open this page that way.";
const UNSUPPORTED = "This browser cannot open a camera. Analyse a picture instead.";

/** Returns why no camera can be opened on this page, "" if one can. */
export function findObstacle({ isSecureContext, mediaDevices }) {
  if (!isSecureContext) return INSECURE;
  return mediaDevices && mediaDevices.getUserMedia ? "" : UNSUPPORTED;
}

/** Returns a sentence for an error of `getUserMedia`. */
export const describeError = (error) =>
  PROBLEMS[error.name] || `The camera could not be opened: ${error.message}`;

/** Opens a camera, chosen by constraints such as {facingMode: "user"}, at about this size. */
export function openCamera(which, [width, height] = [640, 480]) {
  const size = { width: { ideal: width }, height: { ideal: height } };
  return navigator.mediaDevices.getUserMedia({ audio: false, video: { ...size, ...which } });
}

/**
 * Returns the cameras to choose from: on a phone front and back come first, then each by name.
 *
 * @param {{kind: string, deviceId: string, label: string}[]} devices
 * @param {{facingMode?: string, deviceId?: string}} used settings of the open camera
 * @returns {{text: string, which: Object, chosen: boolean}[]} `which` is for `openCamera`
 */
export function listCameras(devices, used) {
  const inputs = devices.filter((device) => device.kind === "videoinput");
  const sides = used.facingMode && inputs.length > 1 ? ["user", "environment"] : [];
  return [
    ...sides.map((side) => ({
      text: side === "user" ? "Front camera" : "Back camera",
      which: { facingMode: side },
      chosen: side === used.facingMode,
    })),
    ...inputs.map((device, i) => ({
      text: device.label || `Camera ${i + 1}`,
      which: { deviceId: { exact: device.deviceId } },
      chosen: !sides.length && device.deviceId === used.deviceId,
    })),
  ];
}
