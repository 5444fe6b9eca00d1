/** Server-sent events, as far as chat streams use them: data lines, comments, any line ends, cut anywhere. */
export class SseParser {
  private line = '';
  private data: string[] = [];
  private afterReturn = false;

  /** Returns the data of the events that `text` completes. */
  push(text: string): string[] {
    const events: string[] = [];
    for (const part of text.split(/(\r\n|\r|\n)/)) {
      if (part === '') continue;
      if (part !== '\n' && part !== '\r' && part !== '\r\n') {
        this.line += part;
        this.afterReturn = false;
        continue;
      }
      // A \r\n that was cut between the two is one line end.
      if (part === '\n' && this.afterReturn) {
        this.afterReturn = false;
        continue;
      }
      this.afterReturn = part === '\r';
      this.endLine(events);
    }
    return events;
  }

  private endLine(events: string[]): void {
    const line = this.line;
    this.line = '';
    if (line === '') {
      if (this.data.length) events.push(this.data.join('\n'));
      this.data = [];
    } else if (line.startsWith('data:')) {
      this.data.push(line.slice(line[5] === ' ' ? 6 : 5));
    }
  }
}
