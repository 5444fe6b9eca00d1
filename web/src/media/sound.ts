import { sampleRate } from './cost';

/** Any sound that the browser decodes → 16 kHz mono, as the model takes it. The browser resamples. */
export async function decodeSound(bytes: ArrayBuffer): Promise<Float32Array<ArrayBuffer>> {
  const decoded = await new OfflineAudioContext(1, 1, sampleRate).decodeAudioData(bytes);
  const mono = new Float32Array(decoded.length);
  for (let c = 0; c < decoded.numberOfChannels; c++) {
    decoded.getChannelData(c).forEach((v, i) => (mono[i] = (mono[i] as number) + v / decoded.numberOfChannels));
  }
  return mono;
}

async function resample(samples: Float32Array<ArrayBuffer>, hz: number): Promise<Float32Array<ArrayBuffer>> {
  if (hz === sampleRate || !samples.length) return samples;
  const context = new OfflineAudioContext(1, Math.max(1, Math.round((samples.length * sampleRate) / hz)), sampleRate);
  const buffer = context.createBuffer(1, samples.length, hz);
  buffer.copyToChannel(samples, 0);
  const source = context.createBufferSource();
  source.buffer = buffer;
  source.connect(context.destination);
  source.start();
  return (await context.startRendering()).getChannelData(0) as Float32Array<ArrayBuffer>;
}

/** A microphone that is being listened to. */
export interface Recording {
  /** Samples so far, at the device's rate: for the waveform. */
  readonly blocks: Float32Array[];
  readonly hz: number;
  /** Ends it. Returns 16 kHz mono. */
  stop(): Promise<Float32Array<ArrayBuffer>>;
  cancel(): void;
}

/** onBlock: called for every 128 samples. Throws DOMException when there is no microphone or no leave to use it. */
export async function record(onBlock: () => void): Promise<Recording> {
  // Processing for telephones would change what the model hears.
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: true, channelCount: 1 },
  });
  const context = new AudioContext();
  const blocks: Float32Array[] = [];
  const release = () => {
    stream.getTracks().forEach((track) => track.stop());
    void context.close();
  };
  try {
    await context.audioWorklet.addModule(new URL('recorder-worklet.js', document.baseURI));
    const node = new AudioWorkletNode(context, 'recorder', { numberOfOutputs: 0 });
    node.port.onmessage = (event: MessageEvent<Float32Array>) => {
      blocks.push(event.data);
      onBlock();
    };
    context.createMediaStreamSource(stream).connect(node);
  } catch (error) {
    release();
    throw error;
  }
  return {
    blocks,
    hz: context.sampleRate,
    cancel: release,
    async stop() {
      release();
      const whole = new Float32Array(blocks.reduce((n, b) => n + b.length, 0));
      let at = 0;
      for (const block of blocks) {
        whole.set(block, at);
        at += block.length;
      }
      return resample(whole, context.sampleRate);
    },
  };
}
