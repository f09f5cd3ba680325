/* What a picture that a visitor saves says of itself. */

/** The same as `GUESS` of fer/web/notice.py, drawn there by `caption` of fer/annotate.py. */
export const GUESS = "AI guess at how a face looks, not what anyone feels";

/**
 * Writes it in the lower left corner of a canvas, over whatever is there.
 *
 * @param {CanvasRenderingContext2D} context
 */
export function drawGuess(context) {
  const { width, height } = context.canvas;
  // As large as can be read, and never wider than the picture.
  const size = Math.max(1, Math.round(Math.min(Math.max(height / 30, 12), width / 28)));
  const pad = size / 2;
  context.save();
  context.resetTransform();
  context.font = `${size}px system-ui, sans-serif`;
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.fillStyle = "rgba(0, 0, 0, 0.65)";
  const top = height - size - 2 * pad;
  context.fillRect(0, top, context.measureText(GUESS).width + 2 * pad, size + 2 * pad);
  context.fillStyle = "#ffffff";
  context.fillText(GUESS, pad, top + pad + size / 2);
  context.restore();
}
