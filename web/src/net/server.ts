import { signal } from '@preact/signals';
import { trainedSeconds } from '../media/cost';
import { apiKey, getJson, keyRefused, ServerError } from './api';

export interface ServerInfo {
  model: string;
  parameters: number;
  /** Tokens; 0: not known. */
  context: number;
  /** The small default model: it answers about pictures and sounds, and does not chat. */
  small: boolean;
  /** The longest sound that the model was trained on. */
  trainedSeconds: number;
  vision: boolean;
  audio: boolean;
  video: boolean;
  version: string;
  backend: string;
  /** Bytes that a request may have; 0: not known, as below. */
  maxBody: number;
  /** How long a sound may be. */
  maxAudioSeconds: number;
  slots: number;
  weightBytes: number;
  /** Of all slots. */
  kvBytes: number;
}
export type Link = 'connecting' | 'ok' | 'loading' | 'gone' | 'key';

export const link = signal<Link>('connecting');
export const server = signal<ServerInfo | null>(null);
/** Counts up each time that the server comes back. */
export const returns = signal(0);

interface Models {
  data?: { id?: string; meta?: { n_params?: number; n_ctx?: number; n_ctx_train?: number } }[];
}
interface Props {
  modalities?: { vision?: boolean; audio?: boolean; video?: boolean };
  default_generation_settings?: { n_ctx?: number };
  build_info?: string;
  backend?: string;
  max_body_bytes?: number;
  max_audio_s?: number;
  total_slots?: number;
  weight_bytes?: number;
  kv_bytes?: number;
}

export function describe(models: Models, props: Props): ServerInfo {
  const first = models.data?.[0];
  const id = first?.id ?? 'model';
  const parameters = first?.meta?.n_params ?? 0;
  const small = parameters ? parameters < 1e9 : /\bmini\b/.test(id);
  return {
    model: id,
    parameters,
    context: props.default_generation_settings?.n_ctx ?? first?.meta?.n_ctx ?? first?.meta?.n_ctx_train ?? 0,
    small,
    trainedSeconds: small ? trainedSeconds.small : trainedSeconds.big,
    vision: props.modalities?.vision ?? true,
    audio: props.modalities?.audio ?? true,
    video: props.modalities?.video ?? true,
    version: props.build_info ?? '',
    backend: props.backend ?? '',
    maxBody: props.max_body_bytes ?? 0,
    maxAudioSeconds: props.max_audio_s ?? 0,
    slots: props.total_slots ?? 0,
    weightBytes: props.weight_bytes ?? 0,
    kvBytes: props.kv_bytes ?? 0,
  };
}

/** Says how the server is; reads what it is after every silence. whole: reads it in any case, which also tries the key. */
export async function checkServer(whole = false): Promise<void> {
  const was = link.value;
  try {
    await getJson('health');
    if (whole || was !== 'ok' || !server.value) {
      const [models, props] = await Promise.all([getJson<Models>('v1/models'), getJson<Props>('props').catch((): Props => ({}))]);
      server.value = describe(models, props);
      if (was === 'gone') returns.value++;
    }
    link.value = 'ok';
    keyRefused.value = false;
  } catch (error) {
    const status = error instanceof ServerError ? error.status : 0;
    if (status === 401 || status === 403) link.value = 'key';
    else link.value = status === 503 ? 'loading' : 'gone';
  }
}

const calmMs = 15000;
const eagerMs = 1500;

/** Looks at the server for as long as the page lives. */
export function watchServer(): void {
  let timer = 0;
  const look = async () => {
    clearTimeout(timer);
    if (link.value !== 'key') await checkServer();
    timer = window.setTimeout(look, link.value === 'ok' ? calmMs : eagerMs);
  };
  void look();
  window.addEventListener('online', look);
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && void look());
  let key = apiKey.value;
  apiKey.subscribe((now) => {
    if (now !== key) void checkServer(true);
    key = now;
  });
  keyRefused.subscribe((refused) => refused && (link.value = 'key'));
  // A failed request knows before the next look does.
  link.subscribe((now) => {
    if (now === 'gone') {
      clearTimeout(timer);
      timer = window.setTimeout(look, eagerMs);
    }
  });
}
