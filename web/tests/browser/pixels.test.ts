import { readFileSync } from 'node:fs';
import type { Page } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { resizeRgba } from '../../src/media/resize';
import { targetSize } from '../../src/media/target_size';
import { largestDifference, readGolden, rgbaOf } from '../golden';
import { start, withMock } from './mocked';
import { fixtures, hand } from './page';

withMock();

/** The picture that the page says the model sees, RGBA. */
const seen = (page: Page, folder: string, name: string, budget: number): Promise<Uint8Array> =>
  seenOf(page, name, `image/${name.split('.').pop()?.replace('jpg', 'jpeg')}`, readFileSync(`${fixtures}${folder}/${name}`), budget);

async function seenOf(page: Page, name: string, type: string, bytes: Buffer, budget: number): Promise<Uint8Array> {
  await hand(page, 'drop', [{ name, type, bytes }]);
  await page.getByRole('button', { name: `Show what the model sees of ${name}` }).click();
  await page.getByRole('button', { name: String(budget), exact: true }).click();
  await page.waitForFunction((b) => document.querySelector('.patch-picture canvas')?.getAttribute('data-budget') === b, String(budget));
  const pixels = await page.locator('.patch-picture canvas').evaluate((canvas: HTMLCanvasElement) => {
    const { data } = (canvas.getContext('2d') as CanvasRenderingContext2D).getImageData(0, 0, canvas.width, canvas.height);
    let text = '';
    for (let i = 0; i < data.length; i += 8192) text += String.fromCharCode(...data.subarray(i, i + 8192));
    return btoa(text);
  });
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: `Remove ${name}` }).click();
  return Buffer.from(pixels, 'base64');
}

/** Where the browser's decoder is not Pillow's: by how many levels at most. All others are equal. */
const levels: Record<string, number> = {
  'cmyk.jpg': 3, 'cmyk_no_adobe.jpg': 3, 'ycck.jpg': 3, // CMYK → RGB
  'rgb555.bmp': 3, // five bits → eight
};

describe('what the model sees', () => {
  it('is what the reference gives the model', async () => {
    const page = await start();
    const { bytes, shape } = readGolden('tiny/golden.safetensors').get('image/pixel_values') ?? { bytes: new Uint8Array(), shape: [] };
    const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4); // [60, 48 · 48 · 3], 0 … 1
    expect(shape).toEqual([60, 6912]);
    const pixels = await seen(page, 'tiny/media', 'waves.png', 70);
    const columns = 10;
    let largest = 0;
    values.forEach((value, i) => {
      const patch = Math.floor(i / 6912), inside = i % 6912;
      const x = (patch % columns) * 48 + Math.floor((inside % 144) / 3), y = Math.floor(patch / columns) * 48 + Math.floor(inside / 144);
      largest = Math.max(largest, Math.abs(value * 255 - (pixels[(y * columns * 48 + x) * 4 + (inside % 3)] as number)));
    });
    expect(largest).toBeLessThan(1e-3);
  });

  it('is resized as the reference resizes', async () => {
    const page = await start();
    let checked = 0;
    for (const [key, golden] of readGolden('tiny/golden.safetensors')) {
      const [, name, wanted] = /^resize\/(.+)\/(\d+x\d+)$/.exec(key) ?? [];
      if (!name) continue;
      const expected = rgbaOf(golden);
      expect(`${expected.height}x${expected.width}`).toBe(wanted);
      const file = readFileSync(`${fixtures}tiny/media/${name}`).toString('base64');
      const source = await page.evaluate(async (base64) => {
        const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))]), { colorSpaceConversion: 'none' });
        const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d') as OffscreenCanvasRenderingContext2D;
        context.drawImage(bitmap, 0, 0);
        return { width: bitmap.width, height: bitmap.height, data: [...context.getImageData(0, 0, bitmap.width, bitmap.height).data] };
      }, file);
      const resized = resizeRgba(new Uint8ClampedArray(source.data), source.width, source.height, expected.width, expected.height);
      expect(largestDifference(resized, expected.data), key).toBe(0);
      checked++;
    }
    expect(checked).toBe(4);
  });

  it('shows a GIF’s transparent colour around a first picture smaller than its canvas, as the program does', async () => {
    const page = await start();
    const gif = readFileSync(`${fixtures}media/transparent.gif`);
    const control = gif.indexOf(Buffer.from([0x21, 0xf9, 4]));
    const at = 13 + (gif[control + 6] as number) * 3;
    const colour = [...gif.subarray(at, at + 3)];
    expect((gif[control + 3] as number) & 1).toBe(1);
    gif.writeUInt16LE(gif.readUInt16LE(6) * 3, 6);
    gif.writeUInt16LE(gif.readUInt16LE(8) * 3, 8);
    const pixels = await seenOf(page, 'wide.gif', 'image/gif', gif, 70);
    expect([...pixels.subarray(pixels.length - 4)]).toEqual([...colour, 255]);
  });

  it('equals Pillow’s pixels for every kind of file but those named above', async () => {
    const page = await start();
    const found: Record<string, number> = {};
    for (const [name, golden] of readGolden('media/expected.safetensors')) {
      if (name.endsWith('.tif')) continue; // browsers read none: the page says so
      const source = rgbaOf(golden);
      const size = targetSize(source.width, source.height, 70);
      found[name] = largestDifference(await seen(page, 'media', name, 70), resizeRgba(source.data, source.width, source.height, size.width, size.height));
    }
    for (const [name, largest] of Object.entries(found)) expect(largest, name).toBeLessThanOrEqual(levels[name] ?? 0);
    expect(Object.keys(found).length).toBeGreaterThan(40);
  });
});
