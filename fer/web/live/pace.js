// How large a frame is sent, and how often. Under load frames get smaller and rarer; when
// the server has been quick for a while they grow again, more carefully each time that it
// was too early.

const PACES = [
  { width: 320, intervalMs: 25 }, // the next frame of any camera up to 40 frames/s
  { width: 256, intervalMs: 66 },
  { width: 224, intervalMs: 125 },
  { width: 192, intervalMs: 250 },
];
const STRAINED = { waitMs: 60, tripMs: 400 };
const RELAXED = { waitMs: 20, tripMs: 250 };
const STRAINED_ANSWERS = 3; // in a row before the pace is lowered
const CALM_MS = 4000; // before it is raised
const MAX_CALM_MS = 64000;

function makePace() {
  let level = 0;
  let strained = 0;
  let calmMs = CALM_MS;
  let calmSince = 0; // since when every answer was quick
  let raisedAt = -MAX_CALM_MS;

  function lower(now) {
    if (now - raisedAt < CALM_MS) calmMs = Math.min(MAX_CALM_MS, 2 * calmMs);
    level = Math.min(PACES.length - 1, level + 1);
    strained = 0;
    calmSince = now;
  }

  function answered(tripMs, waitMs, now) {
    const slow = waitMs > STRAINED.waitMs || tripMs > STRAINED.tripMs;
    strained = slow ? strained + 1 : 0;
    if (waitMs > RELAXED.waitMs || tripMs > RELAXED.tripMs) calmSince = now;
    if (strained >= STRAINED_ANSWERS) {
      lower(now);
    } else if (level > 0 && now - calmSince >= calmMs) {
      level -= 1;
      raisedAt = now;
      calmSince = now;
    } else if (level === 0 && now - raisedAt > MAX_CALM_MS) {
      calmMs = CALM_MS;
    }
  }

  function resumed(now) {
    strained = 0;
    calmSince = now;
  }

  return { answered, failed: lower, resumed, get: () => PACES[level] };
}
