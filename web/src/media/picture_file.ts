/**
 * Two kinds of pictures that browsers decode otherwise than the server (src/media/image.cc). A GIF's transparent pixels
 * keep their palette's colour there, and around a first picture smaller than the canvas it is the same; a WebP is turned as
 * its EXIF chunk says. The bytes are changed so that every browser gives the stored pixels, and what is to be done with
 * them is told beside.
 */
export interface PictureFile {
  blob: Blob;
  /** EXIF's 1 … 8 where the pixels are still to be turned; 1: they are upright. */
  orientation: number;
  /** RGB of pixels that no picture covers. */
  ground: readonly number[] | null;
}

const tag = (bytes: Uint8Array, at: number, length = 4) => String.fromCharCode(...bytes.subarray(at, at + length));

export async function readPictureFile(blob: Blob): Promise<PictureFile> {
  const start = new Uint8Array(await blob.slice(0, 16).arrayBuffer());
  const gif = tag(start, 0, 3) === 'GIF';
  if (!gif && tag(start, 8) !== 'WEBP') return { blob, orientation: 1, ground: null };
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const told = gif ? { ground: opaqueGif(bytes), orientation: 1 } : { ground: null, orientation: takeOrientation(bytes) };
  return { blob: new Blob([bytes], { type: blob.type }), ...told };
}

/** Takes the mark of transparency from the first picture. Returns the colour around it; white without a shared palette. */
function opaqueGif(bytes: Uint8Array): number[] {
  const colours = (flags: number) => (flags & 0x80 ? 2 << (flags & 7) : 0);
  const shared = colours(bytes[10] ?? 0);
  let index = 0;
  for (let at = 13 + shared * 3; bytes[at] === 0x21; ) {
    if (bytes[at + 1] === 0xf9 && bytes[at + 2] === 4) {
      const marked = ((bytes[at + 3] as number) & 1) !== 0;
      index = marked ? (bytes[at + 6] as number) : 0;
      if (marked) bytes[at + 3] = (bytes[at + 3] as number) & 0xfe;
    }
    at += 2;
    while (bytes[at]) at += 1 + (bytes[at] as number);
    at++;
  }
  return index < shared ? [...bytes.subarray(13 + index * 3, 16 + index * 3)] : [255, 255, 255];
}

/** Renames the EXIF chunk, so that no browser turns the picture, and returns what it says. */
function takeOrientation(bytes: Uint8Array): number {
  const data = new DataView(bytes.buffer);
  let orientation = 1;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const length = data.getUint32(at + 4, true);
    if (tag(bytes, at) === 'EXIF') {
      orientation = exifOrientation(bytes.subarray(at + 8, at + 8 + length));
      bytes.set([0x6e, 0x6f, 0x6e, 0x65], at);
    }
    // VP8X says that there is such a chunk.
    if (tag(bytes, at) === 'VP8X') bytes[at + 8] = (bytes[at + 8] as number) & ~0x08;
    at += 8 + length + (length & 1);
  }
  return orientation;
}

/** Tag 274 of a TIFF block; 1 where there is none. */
export function exifOrientation(block: Uint8Array): number {
  const body = tag(block, 0, 6) === 'Exif\0\0' ? block.subarray(6) : block;
  const little = tag(body, 0, 2) === 'II';
  const data = new DataView(body.buffer, body.byteOffset, body.byteLength);
  const whole = (at: number, bytes: number) => at + bytes <= body.length;
  if ((!little && tag(body, 0, 2) !== 'MM') || !whole(0, 8)) return 1;
  const directory = data.getUint32(4, little);
  const entries = whole(directory, 2) ? data.getUint16(directory, little) : 0;
  for (let entry = directory + 2, i = 0; i < entries && whole(entry, 12); entry += 12, i++) {
    if (data.getUint16(entry, little) !== 274) continue;
    const long = data.getUint16(entry + 2, little) === 4;
    const value = long ? data.getUint32(entry + 8, little) : data.getUint16(entry + 8, little);
    return value >= 1 && value <= 8 ? value : 1;
  }
  return 1;
}

const swapsSides = (orientation: number) => orientation >= 5;

/** [width, height] of the upright picture. */
export const uprightSize = (width: number, height: number, orientation: number): [number, number] =>
  swapsSides(orientation) ? [height, width] : [width, height];

/** rgba: [height, width, 4] → upright. */
export function turnUpright(rgba: Uint8ClampedArray<ArrayBuffer>, width: number, height: number, orientation: number): Uint8ClampedArray<ArrayBuffer> {
  if (orientation < 2 || orientation > 8) return rgba;
  const fromRight = [2, 3, 7, 8].includes(orientation), fromBelow = [3, 4, 6, 7].includes(orientation);
  const source = new Uint32Array(rgba.buffer), upright = new Uint32Array(source.length);
  const [wide, high] = uprightSize(width, height, orientation), turned = swapsSides(orientation);
  for (let y = 0; y < high; y++) {
    for (let x = 0; x < wide; x++) {
      const [u, v] = turned ? [y, x] : [x, y];
      upright[y * wide + x] = source[(fromBelow ? height - 1 - v : v) * width + (fromRight ? width - 1 - u : u)] as number;
    }
  }
  return new Uint8ClampedArray(upright.buffer);
}
