/* Zoom and pan of a sheet inside a stage that clips it: wheel, pinch, drag and double click. */

export const MAX_ZOOM = 12;
/** Factor of a button or a key. */
export const ZOOM_STEP = 1.5;
const DOUBLE_CLICK_ZOOM = 3;
const DRAG_PX = 5; // less is a click

/** Returns by how much [low, high] must move to lie in [least, most]; what is longer is centred. */
export function shiftInto(low, high, least, most) {
  if (high - low > most - least) return (least + most - low - high) / 2;
  return low < least ? least - low : high > most ? most - high : 0;
}

/**
 * Makes a sheet zoomable.
 *
 * @param {HTMLElement} stage
 * @param {HTMLElement} sheet inside the stage
 * @param {(zoom: number) => void} onChange
 * @returns {{by: Function, onto: Function, reset: Function, reveal: Function}} for buttons and keys
 */
export function makeZoom(stage, sheet, onChange) {
  let zoom = 1;
  let left = 0; // of the sheet in the stage, px
  let top = 0;
  const pointers = new Map(); // id -> [x, y] in the stage
  let moved = 0; // px since the first finger came down

  function apply() {
    const [width, height] = [stage.clientWidth, stage.clientHeight];
    left = Math.min(0, Math.max(width * (1 - zoom), left));
    top = Math.min(0, Math.max(height * (1 - zoom), top));
    sheet.style.width = sheet.style.height = 100 * zoom + "%";
    sheet.style.left = left + "px";
    sheet.style.top = top + "px";
    stage.classList.toggle("near", zoom > 1);
    stage.dataset.zoom = zoom.toFixed(2);
    onChange(zoom);
  }

  /** Zooms by `factor`; the point (x, y) of the stage stays where it is. */
  function by(factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
    const before = zoom;
    zoom = Math.min(MAX_ZOOM, Math.max(1, zoom * factor));
    if (zoom < 1.02) zoom = 1;
    left = x - (x - left) * (zoom / before);
    top = y - (y - top) * (zoom / before);
    apply();
  }

  function reset() {
    zoom = 1;
    apply();
  }

  /** Pans until the element is in view. */
  function reveal(one) {
    stage.scrollTo(0, 0); // browsers scroll even a clipped box to what has the focus
    const [outer, inner] = [stage.getBoundingClientRect(), one.getBoundingClientRect()];
    left += shiftInto(inner.left, inner.right, outer.left + 30, outer.right - 30);
    top += shiftInto(inner.top, inner.bottom, outer.top + 30, outer.bottom - 30);
    apply();
  }

  /** Zooms by `factor` around an element, and keeps it in view. */
  function onto(one, factor) {
    const [outer, inner] = [stage.getBoundingClientRect(), one.getBoundingClientRect()];
    const x = (inner.left + inner.right) / 2 - outer.left;
    const y = (inner.top + inner.bottom) / 2 - outer.top;
    by(factor, x, y);
    reveal(one);
  }

  const at = (event) => {
    const outer = stage.getBoundingClientRect();
    return [event.clientX - outer.left, event.clientY - outer.top];
  };
  const isTool = (event) => event.target.closest(".tools");
  const middle = () => {
    const points = [...pointers.values()];
    return [0, 1].map((i) => points.reduce((sum, point) => sum + point[i], 0) / points.length);
  };
  const spread = () => {
    const [a, b] = [...pointers.values()];
    return b ? Math.hypot(a[0] - b[0], a[1] - b[1]) : 0;
  };

  stage.addEventListener(
    "wheel",
    (event) => {
      if (event.deltaY > 0 && zoom === 1) return; // nothing to show: the page scrolls
      event.preventDefault();
      by(Math.exp(-0.002 * Math.max(-200, Math.min(200, event.deltaY))), ...at(event));
    },
    { passive: false },
  );
  stage.addEventListener("dblclick", (event) => {
    if (isTool(event)) return;
    if (zoom > 1) reset();
    else by(DOUBLE_CLICK_ZOOM, ...at(event));
  });
  stage.addEventListener("pointerdown", (event) => {
    if (isTool(event) || event.button > 0) return;
    if (!pointers.size) moved = 0;
    pointers.set(event.pointerId, at(event));
  });
  window.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    const [x, y] = middle();
    const width = spread();
    const [fromX, fromY] = pointers.get(event.pointerId);
    pointers.set(event.pointerId, at(event));
    const [toX, toY] = pointers.get(event.pointerId);
    moved += Math.hypot(toX - fromX, toY - fromY);
    if (moved < DRAG_PX) return;
    const [newX, newY] = middle();
    left += newX - x;
    top += newY - y;
    stage.classList.toggle("dragged", zoom > 1);
    if (width && spread()) by(spread() / width, newX, newY);
    else apply();
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    window.addEventListener(kind, (event) => {
      pointers.delete(event.pointerId);
      if (!pointers.size) stage.classList.remove("dragged");
    });
  }
  // The end of a drag is no click on the face where it ended.
  stage.addEventListener(
    "click",
    (event) => {
      if (moved < DRAG_PX || !event.detail || isTool(event)) return;
      event.stopPropagation();
      event.preventDefault();
    },
    true,
  );
  stage.addEventListener("scroll", () => stage.scrollTo(0, 0));
  new ResizeObserver(apply).observe(stage);
  return { by, onto, reset, reveal };
}
