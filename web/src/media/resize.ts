/**
 * Antialiased bicubic resize with integer weights and an 8-bit intermediate: the reference's pixels exactly
 * (docs/spec/multimodal.md §3), so that the page shows what the model gets and not what a canvas makes of it.
 */

interface Taps {
  /** First input and number of inputs of each output. */
  start: Int32Array;
  count: Int32Array;
  /** [output][stride] */
  weights: Int32Array;
  stride: number;
  shift: number;
}

function cubic(t: number): number {
  const x = Math.abs(t);
  if (x < 1) return (1.5 * x - 2.5) * x * x + 1;
  if (x < 2) return ((-0.5 * x + 2.5) * x - 4) * x + 2;
  return 0;
}

function makeTaps(from: number, to: number): Taps {
  const scale = from / to;
  const stretch = Math.max(scale, 1);
  const support = 2 * stretch;
  const stride = Math.ceil(support) * 2 + 1;
  const start = new Int32Array(to);
  const count = new Int32Array(to);
  const real = new Float64Array(to * stride);
  let largest = 0;
  for (let i = 0; i < to; i++) {
    const center = (i + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const last = Math.min(from, Math.trunc(center + support + 0.5));
    let sum = 0;
    for (let j = 0; j < last - first; j++) {
      const weight = cubic((j + first - center + 0.5) / stretch);
      real[i * stride + j] = weight;
      sum += weight;
    }
    for (let j = 0; j < last - first; j++) {
      const weight = (real[i * stride + j] as number) / sum;
      real[i * stride + j] = weight;
      largest = Math.max(largest, weight);
    }
    start[i] = first;
    count[i] = last - first;
  }
  let shift = 0;
  while (shift < 22 && Math.trunc(0.5 + largest * 2 ** (shift + 1)) < 2 ** 15) shift++;
  const weights = Int32Array.from(real, (w) => Math.trunc(w * 2 ** shift + (w < 0 ? -0.5 : 0.5)));
  return { start, count, weights, stride, shift };
}

/** One axis of `lines` lines; a step of `inner` between neighbours of a line, of `outer` between lines. */
function resampleAxis(source: Uint8ClampedArray, target: Uint8ClampedArray, taps: Taps, to: number, lines: number,
                      sourceStep: { inner: number; outer: number }, targetStep: { inner: number; outer: number }): void {
  const half = 2 ** (taps.shift - 1);
  for (let line = 0; line < lines; line++) {
    for (let i = 0; i < to; i++) {
      let r = half, g = half, b = half;
      let at = line * sourceStep.outer + (taps.start[i] as number) * sourceStep.inner;
      const end = i * taps.stride + (taps.count[i] as number);
      for (let k = i * taps.stride; k < end; k++, at += sourceStep.inner) {
        const weight = taps.weights[k] as number;
        r += weight * (source[at] as number);
        g += weight * (source[at + 1] as number);
        b += weight * (source[at + 2] as number);
      }
      const out = line * targetStep.outer + i * targetStep.inner;
      target[out] = r >> taps.shift;
      target[out + 1] = g >> taps.shift;
      target[out + 2] = b >> taps.shift;
      target[out + 3] = 255;
    }
  }
}

/** rgba: [height, width, 4]; alpha is dropped, not blended. Returns [toHeight, toWidth, 4], opaque. */
export function resizeRgba(rgba: Uint8ClampedArray, width: number, height: number, toWidth: number, toHeight: number): Uint8ClampedArray<ArrayBuffer> {
  if (width === toWidth && height === toHeight) {
    const copy = new Uint8ClampedArray(rgba);
    for (let i = 3; i < copy.length; i += 4) copy[i] = 255;
    return copy;
  }
  const wide = new Uint8ClampedArray(height * toWidth * 4);
  resampleAxis(rgba, wide, makeTaps(width, toWidth), toWidth, height,
               { inner: 4, outer: width * 4 }, { inner: 4, outer: toWidth * 4 });
  const result = new Uint8ClampedArray(toHeight * toWidth * 4);
  resampleAxis(wide, result, makeTaps(height, toHeight), toHeight, toWidth,
               { inner: toWidth * 4, outer: 4 }, { inner: toWidth * 4, outer: 4 });
  return result;
}
