import { resizeRgba } from './resize';

export interface ResizeJob {
  rgba: Uint8ClampedArray<ArrayBuffer>;
  width: number;
  height: number;
  toWidth: number;
  toHeight: number;
}

self.onmessage = ({ data }: MessageEvent<ResizeJob>) => {
  const result = resizeRgba(data.rgba, data.width, data.height, data.toWidth, data.toHeight);
  self.postMessage(result, { transfer: [result.buffer] });
};
