/* What the overlay and the timeline share in drawing. */

export const FONT = "system-ui, sans-serif";

/** Strokes an icon, SVG path data of 24 x 24 units, `size` pixels wide at (x, y). */
export function drawIcon(context, path, x, y, size, color) {
  context.save();
  context.translate(x, y);
  context.scale(size / 24, size / 24);
  context.lineWidth = 2;
  context.lineCap = "round";
  context.lineJoin = "round";
  context.strokeStyle = color;
  context.stroke(new Path2D(path));
  context.restore();
}
