/* Who analyses a picture, this device or the server, and how that is said. */

// The recogniser is waited for, where it comes soon: a picture that stays here need not be sent.
const PATIENCE_MS = 5000;
const STILL_LOADING = "the recogniser was not loaded in time.";
const CANCELLED = "The picture was removed.";
const UNLESS = "unless this browser cannot open them";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Whether pictures stay on this device, whatever happens. */
export const staysHere = (device, hasServer) => !hasServer || device.choice === "device";

/**
 * Waits until the recogniser is ready or has failed, or until the server may have the picture
 * instead: that is the choice, or `wait` has passed and the choice allows it.
 */
function waitForDevice(device, hasServer, signal, wait) {
  let isPatient = true;
  return new Promise((resolve) => {
    const look = () => {
      const mayGo = hasServer && (device.choice === "server" || !isPatient);
      const waits = device.state === "loading" && (staysHere(device, hasServer) || !mayGo);
      if (waits && !signal.aborted) return;
      device.removeEventListener("change", look);
      signal.removeEventListener("abort", look);
      resolve();
    };
    device.addEventListener("change", look);
    signal.addEventListener("abort", look);
    wait(PATIENCE_MS).then(() => {
      isPatient = false;
      look();
    });
    device.load(staysHere(device, hasServer));
    look();
  });
}

/** Returns {value} of the device, or {reason} why it has none, "" if the server was chosen. */
async function analyseHere({ device, analyse, send, signal, wait }) {
  const hasServer = Boolean(send);
  const isServer = () => hasServer && device.choice === "server";
  if (isServer()) return { reason: "" };
  await waitForDevice(device, hasServer, signal, wait);
  if (isServer() || signal.aborted) return { reason: "" };
  if (device.state === "loading") return { reason: STILL_LOADING };
  if (device.state !== "ready") return { reason: device.problem || "" };
  try {
    return { value: await analyse(staysHere(device, hasServer)) };
  } catch (error) {
    return { reason: error.message };
  }
}

/**
 * Has a picture analysed by this device if the visitor's choice and the device allow it, else by
 * the server. The choice may change meanwhile: what counts is the one at each step.
 *
 * @param {Object} options
 * @param {import("../common/device.js").Device} options.device
 * @param {(isAlone: boolean) => Promise<Object>} options.analyse on the device, which is ready;
 *   told whether the picture must stay here
 * @param {?(mayGo: () => boolean) => Promise<boolean|void>} options.send to the server, whose answer
 *   comes elsewhere; if it waits it asks `mayGo` again, and gives false if it sent nothing; null
 *   without a server
 * @param {AbortSignal} [options.signal] aborted when nobody wants the picture any more, which then
 *   is not sent
 * @param {(ms: number) => Promise<void>} [options.wait]
 * @returns {Promise<Object>} {value} of the device; {sent: true, reason}, with the reason why not
 *   the device, "" if that was the choice; or {error} in a sentence
 */
export async function routePicture({ signal = new AbortController().signal, ...options }) {
  const { device, send, wait = sleep } = options;
  const stays = () => staysHere(device, Boolean(send));
  for (;;) {
    const { value, reason } = await analyseHere({ ...options, signal, wait });
    if (value) return { value };
    if (signal.aborted) return { error: CANCELLED };
    if (stays()) return { error: reason || "The recogniser is not ready." };
    const went = await send(() => !stays() && !signal.aborted);
    if (went !== false) return { sent: true, reason };
  }
}

/** Says before a picture is given where it will go. */
export function describeRoute(device, hasServer) {
  const { choice, state, problem, progress } = device;
  const isAlone = staysHere(device, hasServer);
  if (!isAlone && choice === "server")
    return "Pictures are sent to the server, and deleted once they are analysed.";
  if (state === "ready")
    return `Pictures are analysed on this device and do not leave it${isAlone ? "" : `, ${UNLESS}`}.`;
  if (state === "loading")
    return isAlone ? progress : `${progress} Then pictures stay on this device, ${UNLESS}.`;
  if (state === "failed") {
    const why = problem ? ` ${problem}` : "";
    return isAlone
      ? `Pictures cannot be analysed on this device.${why}`
      : `Pictures are sent to the server, and deleted once they are analysed.${why}`;
  }
  return isAlone
    ? "Pictures are analysed on this device and do not leave it."
    : "Pictures are analysed on this device if it can do that, else sent to the server and deleted.";
}

/**
 * Says of a picture that is shown where it was analysed; `isGiven` where the visitor gave it. A face
 * of it may have been sent later, to be compared.
 */
export function describeResult({ isSent, reason, nFiles, isFaceSent }, isGiven) {
  const first = nFiles > 1 ? ` Of ${nFiles} files the first picture is shown.` : "";
  if (!isSent) {
    const stayed = isFaceSent
      ? ". A face was sent to the server, to be compared"
      : ": the picture did not leave it";
    return `Analysed on this device${isGiven ? stayed : ""}.${first}`;
  }
  return `Analysed on the server${reason ? `: ${reason}` : "."}${first}`;
}

/** Says of a picture without a result, which the server was sent nevertheless, that it was. */
export const describeSent = ({ name, reason }) =>
  `${name} was sent to the server${reason ? `: ${reason}` : "."}`;
