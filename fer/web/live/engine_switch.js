/* Who analyses the frames, in words: the server, or this device. */

/**
 * Says where frames go, in one sentence; `engines` as in ../common/engines.js. Before the camera
 * is on nothing is sent, and `describeStart` says where frames will go.
 */
export function describeEngines({ active, problem, device, hasServer }, isOn) {
  if (active === "device") return "Runs on this device: no frame leaves it.";
  const server = isOn && active === "server" ? "Frames are sent to the server." : "";
  if (device.state === "loading") return `${server} ${device.progress}`.trim();
  if (problem) return hasServer ? `${server} Not on this device: ${problem}`.trim() : problem;
  if (active === "server") return server;
  return "Runs on this device once the camera is on: no frame will leave it.";
}

const ON_DEVICE = "Your video stays in this browser and is analysed on this device.";
const SENT =
  "Small still pictures go to this server to be analysed, then are deleted. No video is recorded.";
const SENT_FIRST =
  "Until this device takes over, small still pictures go to this server and are deleted at once.";

/** Says before the start where frames will go; `engines` as in ../common/engines.js. */
export function describeStart({ active, problem, device, hasServer }) {
  if (active === "device" || device.choice === "device" || !hasServer) return ON_DEVICE;
  return device.choice === "server" || problem ? SENT : SENT_FIRST;
}
