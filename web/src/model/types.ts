/** What a conversation is made of. Everything here is plain data: it goes into IndexedDB and exports as it is. */

export const budgets = [70, 140, 280, 560, 1120] as const;
/** Most soft tokens that an image may take. */
export type Budget = (typeof budgets)[number];

interface MediaFile {
  /** Key of the bytes in the store's `media`. */
  media: string;
  name: string;
  mime: string;
  bytes: number;
}
/** width, height: pixels after EXIF orientation. */
export type ImageAttachment = MediaFile & { kind: 'image'; width: number; height: number; budget: Budget };
export type AudioAttachment = MediaFile & { kind: 'audio'; seconds: number };
/** sound: whether its sound track is sent, too; absent where there is none. */
export type VideoAttachment = MediaFile & { kind: 'video'; seconds: number; width: number; height: number; sound?: boolean };
export interface TextAttachment {
  kind: 'text';
  name: string;
  text: string;
}
export type MediaAttachment = ImageAttachment | AudioAttachment | VideoAttachment;
export type Attachment = MediaAttachment | TextAttachment;

export interface TokenChoice {
  text: string;
  /** Natural logarithm. */
  logprob: number;
}
export interface Token extends TokenChoice {
  /** Likeliest tokens of that place, best first. */
  alternatives: TokenChoice[];
  /** The drafter proposed it and the model agreed; absent where the server does not say. */
  drafted?: boolean;
}

export interface ReplyStats {
  promptTokens: number;
  cachedTokens: number;
  replyTokens: number;
  /** From sending to the first token, as the page saw it; milliseconds. */
  firstTokenMs: number;
  promptPerSecond: number;
  replyPerSecond: number;
  draftedTokens?: number;
  acceptedTokens?: number;
}

export interface ToolCall {
  id: string;
  name: string;
  /** JSON. */
  arguments: string;
  result?: string;
}
/** What came before the last text of a reply that used tools. */
export interface ToolRound {
  thought: string;
  text: string;
  calls: ToolCall[];
}

/** streaming: also what a page that was closed left behind. lost: the connection broke. */
export type MessageState = 'done' | 'streaming' | 'stopped' | 'lost' | 'failed';

export interface Message {
  id: string;
  conversation: string;
  /** The message before it; messages of one parent are branches. null: the first of a conversation. */
  parent: string | null;
  role: 'user' | 'assistant';
  created: number;
  text: string;
  attachments: Attachment[];
  state: MessageState;
  thought?: string;
  thoughtMs?: number;
  rounds?: ToolRound[];
  tokens?: Token[];
  stats?: ReplyStats;
  /** stop, length, tool_calls … as the server says. */
  finish?: string;
  error?: string;
  warning?: string;
}

export interface Settings {
  /** null: the model's own. */
  temperature: number | null;
  topK: number | null;
  topP: number | null;
  seed: number | null;
  /** null: until the model stops. */
  maxTokens: number | null;
  thinking: boolean;
  imageBudget: Budget;
  tools: boolean;
  /** Keep each token's probability and alternatives. */
  recordTokens: boolean;
}

export interface Conversation {
  id: string;
  title: string;
  titleFrom: 'text' | 'model' | 'user';
  created: number;
  updated: number;
  system: string;
  settings: Settings;
  /** Which branch is shown: parent's id ('' for the first) → child's id. */
  chosen: Record<string, string>;
}

export const defaultSettings: Settings = {
  temperature: null,
  topK: null,
  topP: null,
  seed: null,
  maxTokens: null,
  thinking: false,
  imageBudget: 280,
  tools: false,
  recordTokens: false,
};
