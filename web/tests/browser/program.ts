import { spawn, type ChildProcess } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';

/** The program that is tested, where one is named; see scripts/web.sh. */
export const binary = process.env['TESSERA_BINARY'];
const model = new URL('../../../models/mini', import.meta.url).pathname;

const wait = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** `tessera serve` with the default model, on a port that stays its own when it is started again. */
export class Program {
  output = '';
  private child: ChildProcess | null = null;
  private crawler: NodeJS.Timeout | null = null;

  private constructor(private readonly port: number, private readonly options: string[]) {}

  static async serve(...options: string[]): Promise<Program> {
    const program = new Program(await freePort(), options);
    await program.start();
    return program;
  }
  get url(): string {
    return `http://127.0.0.1:${this.port}/`;
  }

  /** Until it answers. A program that ends instead is an error at once, with what it said. */
  async start(): Promise<void> {
    let ended = '';
    const child = spawn(binary as string, ['serve', model, '--port', String(this.port), '--grace', '0', ...this.options], { stdio: ['ignore', 'pipe', 'pipe'] });
    child.once('error', (error) => (ended = error.message));
    child.once('exit', (code, signal) => (ended = `exit code ${code}, signal ${signal}`));
    child.stdout.on('data', (data: Buffer) => (this.output += data.toString()));
    child.stderr.on('data', (data: Buffer) => (this.output += data.toString()));
    this.child = child;
    while (!(await fetch(`${this.url}health`).then((r) => r.ok, () => false))) {
      if (ended) throw new Error(`${binary} serve ended (${ended}):\n${this.output}`);
      await wait(50);
    }
  }

  async end(signal: 'SIGTERM' | 'SIGKILL' = 'SIGTERM'): Promise<void> {
    this.crawl(false);
    const { child } = this;
    if (!child || child.exitCode !== null || child.signalCode) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    await gone;
  }

  /** On: it runs 4 of 100 ms, so that a test can do something in the middle of an answer of the fast little model. */
  crawl(on = true): void {
    if (this.crawler) clearInterval(this.crawler);
    this.crawler = null;
    this.child?.kill('SIGCONT');
    if (!on) return;
    this.crawler = setInterval(() => {
      this.child?.kill('SIGCONT');
      setTimeout(() => this.crawler && this.child?.kill('SIGSTOP'), 4);
    }, 100);
  }
}
