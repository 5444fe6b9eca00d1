import { toBase64 } from '../media/base64';
import type { Attachment, Budget, Conversation, MediaAttachment, Message, Settings } from '../model/types';

type Part = Record<string, unknown>;
export type LoadMedia = (id: string) => Promise<Blob | undefined>;

/** OpenAI's names for the budgets that have one; the exact number goes beside it. */
const detailOf: Record<Budget, string> = { 70: 'low', 140: 'low', 280: 'auto', 560: 'high', 1120: 'high' };

const audioFormats: Record<string, string> = {
  'audio/wav': 'wav', 'audio/x-wav': 'wav', 'audio/wave': 'wav', 'audio/mpeg': 'mp3', 'audio/mp3': 'mp3',
  'audio/flac': 'flac', 'audio/x-flac': 'flac', 'audio/ogg': 'ogg', 'audio/opus': 'opus', 'audio/mp4': 'm4a', 'audio/x-m4a': 'm4a',
};

async function mediaPart(attachment: MediaAttachment, load: LoadMedia): Promise<Part> {
  const blob = await load(attachment.media);
  // The person sees the file's name on screen; the model is told that something was there.
  if (!blob) return { type: 'text', text: `[${attachment.name} is missing]` };
  const data = await toBase64(blob);
  switch (attachment.kind) {
    case 'image':
      return {
        type: 'image_url',
        image_url: { url: `data:${attachment.mime};base64,${data}`, detail: detailOf[attachment.budget] },
        max_soft_tokens: attachment.budget,
      };
    case 'audio':
      return { type: 'input_audio', input_audio: { data, format: audioFormats[attachment.mime] ?? 'wav' } };
    case 'video':
      return { type: 'video_url', video_url: { url: `data:${attachment.mime};base64,${data}` }, ...(attachment.sound ? { sound: true } : {}) };
  }
}

/** The model card's order: pictures before the text, sound after it. */
const before = (a: Attachment) => a.kind !== 'audio';

export async function userContent(message: Message, load: LoadMedia): Promise<string | Part[]> {
  if (!message.attachments.length) return message.text;
  const part = async (a: Attachment): Promise<Part> =>
    a.kind === 'text' ? { type: 'text', text: `${a.name}:\n\`\`\`\n${a.text}\n\`\`\`\n\n` } : mediaPart(a, load);
  const parts = await Promise.all(message.attachments.filter(before).map(part));
  if (message.text) parts.push({ type: 'text', text: message.text });
  parts.push(...(await Promise.all(message.attachments.filter((a) => !before(a)).map(part))));
  return parts;
}

/** `open`: the reply goes on from it, from its thought where there is no text yet. */
function assistantMessages(message: Message, open: boolean): Part[] {
  const list: Part[] = [];
  for (const round of message.rounds ?? []) {
    const calls = round.calls.map((c) => ({ id: c.id, type: 'function', function: { name: c.name, arguments: c.arguments } }));
    list.push({ role: 'assistant', content: round.text, reasoning_content: round.thought, tool_calls: calls });
    for (const c of round.calls) list.push({ role: 'tool', tool_call_id: c.id, content: c.result ?? '' });
  }
  const thought = open && message.thought ? { reasoning_content: message.thought } : {};
  if (message.text || !list.length) list.push({ role: 'assistant', content: message.text, ...thought });
  return list;
}

/** Messages in the API's form. An assistant message at the end is what the reply goes on from. */
export async function apiMessages(conversation: Pick<Conversation, 'system'>, path: Message[], load: LoadMedia): Promise<Part[]> {
  const list: Part[] = conversation.system.trim() ? [{ role: 'system', content: conversation.system }] : [];
  for (const message of path) {
    if (message.role === 'user') list.push({ role: 'user', content: await userContent(message, load) });
    else list.push(...assistantMessages(message, message === path.at(-1)));
  }
  return list;
}

const given = (values: Record<string, number | null>): Record<string, number> =>
  Object.fromEntries(Object.entries(values).filter((entry): entry is [string, number] => entry[1] !== null));

export interface RequestExtras {
  model: string;
  tools?: object[];
  /** The last message is the assistant's: go on with it. */
  goOn?: boolean;
}

export function requestBody(messages: Part[], settings: Settings, extras: RequestExtras): Record<string, unknown> {
  return {
    model: extras.model,
    messages,
    stream: true,
    stream_options: { include_usage: true },
    return_progress: true,
    timings_per_token: true,
    chat_template_kwargs: { enable_thinking: settings.thinking },
    ...given({ temperature: settings.temperature, top_k: settings.topK, top_p: settings.topP, seed: settings.seed, max_tokens: settings.maxTokens }),
    ...(settings.recordTokens ? { logprobs: true, top_logprobs: 5 } : {}),
    ...(settings.tools && extras.tools?.length ? { tools: extras.tools } : {}),
    ...(extras.goOn ? { add_generation_prompt: false, continue_final_message: true } : {}),
  };
}
