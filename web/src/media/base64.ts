export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** In pieces: String.fromCharCode takes its bytes as arguments, and a call has room for some 100,000. */
export async function toBase64(blob: Blob): Promise<string> {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  const pieces: string[] = [];
  const step = 0x6000; // a multiple of 3: the pieces' base64 joins without padding
  for (let i = 0; i < bytes.length; i += step) pieces.push(btoa(String.fromCharCode(...bytes.subarray(i, i + step))));
  return pieces.join('');
}
