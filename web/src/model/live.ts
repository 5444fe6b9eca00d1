import { signal } from '@preact/signals';
import type { StreamEvent, Timings } from '../net/chunks';
import type { Message, ReplyStats, Token, ToolCall } from './types';

export type Phase = 'waiting' | 'reading' | 'thinking' | 'answering';

/** A reply on its way. What comes is gathered and shown once a frame: 100 tokens a second are 100 renders otherwise. */
export class LiveReply {
  readonly controller = new AbortController();
  readonly text = signal('');
  readonly thought = signal('');
  readonly phase = signal<Phase>('waiting');
  /** Prompt tokens read and all of them, while it is read. */
  readonly progress = signal<{ done: number; total: number; cached: number } | null>(null);
  readonly stats = signal<ReplyStats>(emptyStats);
  /** Bytes of files on their way to the server; 0 when it has them. */
  readonly sending = signal(0);
  calls: ToolCall[] = [];
  finish = '';
  warning = '';

  private gatheredText: string;
  private gatheredThought: string;
  private tokens: Token[];
  private timings: Timings = {};
  private started = performance.now();
  private firstAt = 0;
  private thoughtFrom = 0;
  private thoughtMs: number;
  private pieces = 0;
  private scheduled = false;

  constructor(readonly message: Message) {
    this.text.value = this.gatheredText = message.text;
    this.thought.value = this.gatheredThought = message.thought ?? '';
    this.tokens = [...(message.tokens ?? [])];
    this.thoughtMs = message.thoughtMs ?? 0;
  }

  take(event: StreamEvent): void {
    switch (event.kind) {
      case 'progress':
        this.progress.value = event;
        this.phase.value = 'reading';
        return;
      case 'thought':
        this.begin();
        this.thoughtFrom ||= performance.now();
        this.gatheredThought += event.text;
        break;
      case 'text':
        this.begin();
        this.endThought();
        this.gatheredText += event.text;
        break;
      case 'tokens':
        this.tokens.push(...event.tokens);
        return;
      case 'call': {
        this.begin();
        this.endThought();
        const call = (this.calls[event.index] ??= { id: event.id ?? `call_${event.index}`, name: '', arguments: '' });
        call.name += event.name ?? '';
        call.arguments += event.arguments;
        break;
      }
      case 'timings':
        Object.assign(this.timings, event.timings);
        this.schedule();
        return;
      case 'warning':
        this.warning = event.text;
        return;
      case 'finish':
        this.finish = event.reason;
        return;
      case 'error':
        return;
    }
    this.pieces++;
    this.schedule();
  }

  /** A tool's turn: what was said so far moves into a round, and the next text starts empty. */
  nextRound(): void {
    this.gatheredText = this.gatheredThought = '';
    this.calls = [];
    this.finish = '';
    this.flush();
    this.phase.value = 'waiting';
  }

  /** The message as it stands. */
  snapshot(): Message {
    this.flush();
    const made: Message = { ...this.message, text: this.gatheredText, stats: this.stats.value };
    if (this.gatheredThought) Object.assign(made, { thought: this.gatheredThought, thoughtMs: Math.round(this.thoughtMilliseconds()) });
    if (this.tokens.length) made.tokens = this.tokens;
    if (this.warning) made.warning = this.warning;
    return made;
  }

  /** So far. */
  thoughtMilliseconds(): number {
    return this.thoughtMs + (this.thoughtFrom ? performance.now() - this.thoughtFrom : 0);
  }

  private begin(): void {
    this.firstAt ||= performance.now();
    this.progress.value = null;
  }
  private endThought(): void {
    if (this.thoughtFrom) this.thoughtMs += performance.now() - this.thoughtFrom;
    this.thoughtFrom = 0;
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    // A hidden page gets no frames, and the store wants the text all the same.
    if (document.hidden) setTimeout(() => this.flush(), 200);
    else requestAnimationFrame(() => this.flush());
  }
  private flush(): void {
    this.scheduled = false;
    this.text.value = this.gatheredText;
    this.thought.value = this.gatheredThought;
    if (this.firstAt) this.phase.value = this.thoughtFrom ? 'thinking' : 'answering';
    const t = this.timings;
    const seconds = (performance.now() - this.firstAt) / 1000;
    this.stats.value = {
      promptTokens: t.promptTokens ?? 0,
      cachedTokens: t.cachedTokens ?? 0,
      replyTokens: t.replyTokens ?? this.pieces,
      firstTokenMs: this.firstAt ? this.firstAt - this.started : 0,
      promptPerSecond: t.promptPerSecond ?? 0,
      replyPerSecond: t.replyPerSecond ?? (seconds > 0.2 ? this.pieces / seconds : 0),
      ...(t.draftedTokens !== undefined ? { draftedTokens: t.draftedTokens, acceptedTokens: t.acceptedTokens ?? 0 } : {}),
    };
  }
}

const emptyStats: ReplyStats = { promptTokens: 0, cachedTokens: 0, replyTokens: 0, firstTokenMs: 0, promptPerSecond: 0, replyPerSecond: 0 };
