import { once } from 'node:events'
import type { Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import { freePort } from '../scripts/engines/free-port.ts'
import { within } from './slot.ts'

/** COMMIT as a simple query, in the server's protocol; and what commits by itself. */
const commit = 'commit\0'
const publish = '"onefold".publish('
const begin = 'begin '
/** Where a statement of Onefold's is prepared, and where it is used. */
const prepares = /(onefold_\d+_\d+)\0([^\0]+)\0/g
const uses = /\0(onefold_\d+_\d+)\0/g

/**
 * never-sent: the server does not see it · answer-lost: it does, and its answer is dropped · held: the client is cut off, and the
 * server sees it when it is let go, whatever has become of the client by then.
 */
export type CommitCut = 'never-sent' | 'answer-lost' | 'held'
export type Direction = 'to the server' | 'from the server'

/** What is to become of the next bytes, `text` with statements spelled out; answers true when it has dealt with them itself. */
type Cut = (chunk: Buffer, direction: Direction, pair: Pair, text: string) => boolean

interface Pair {
  readonly client: Socket
  readonly server: Socket
  /** The client has been cut off, and the server does not know yet. */
  parted: boolean
  /** What the client has sent since it began its last transaction, the first of it. */
  sent: string[]
  /** Statements by the names under which they are prepared. */
  readonly prepared: Map<string, string>
}

/** Stands between the workers and their server, and cuts connections where it is told to: one cut at a time of each kind. */
export class CuttingProxy {
  readonly port: number
  readonly #target: number
  readonly #cuts = new Set<Cut>()
  readonly #pairs = new Set<Pair>()
  readonly #server = createServer((client) => this.#accept(client))

  static async start(target: number): Promise<CuttingProxy> {
    const port = await freePort()
    const proxy = new CuttingProxy(port, target)
    await once(proxy.#server.listen(port, '127.0.0.1'), 'listening')
    return proxy
  }

  private constructor(port: number, target: number) {
    this.port = port
    this.#target = target
  }

  /**
   * The next COMMIT that passes, of a transaction in which this text was sent, or the next message that a program publishes by itself.
   * Undefined: none did within `ms`, and the next one is let through.
   */
  async cutAtCommit(
    how: CommitCut,
    of: { readonly sent: string } | 'publish',
    ms: number,
  ): Promise<{ letGo(): void } | undefined> {
    const done = Promise.withResolvers<{ letGo(): void }>()
    const nothing = { letGo: (): void => {} }
    const isIt = (text: string, pair: Pair): boolean =>
      of === 'publish' ? text.includes(publish) : text.includes(commit) && pair.sent.join('').includes(of.sent)
    const cut: Cut = (chunk, direction, pair, text) => {
      if (direction !== 'to the server' || !isIt(text, pair)) return false
      this.#cuts.delete(cut)
      if (how === 'never-sent') {
        reset(pair)
        done.resolve(nothing)
      } else if (how === 'held') {
        pair.parted = true
        pair.client.resetAndDestroy()
        done.resolve({ letGo: () => void (pair.server.writable && pair.server.write(chunk)) })
      } else {
        pair.parted = true
        const lost = (): void => {
          reset(pair)
          done.resolve(nothing)
        }
        // It may be gone already, and says so no more.
        if (pair.server.destroyed) lost()
        else pair.server.once('data', lost).once('close', lost).write(chunk)
      }
      return true
    }
    return await this.#carryOut(cut, done.promise, ms)
  }

  /** After so many more bytes in that direction, over all connections. Undefined: there were not so many within `ms`. */
  async cutAfter(bytes: number, towards: Direction, ms: number): Promise<'cut' | undefined> {
    const done = Promise.withResolvers<'cut'>()
    let left = bytes
    const cut: Cut = (chunk, direction, pair) => {
      if (direction !== towards) return false
      if (chunk.length <= left) {
        left -= chunk.length
        return false
      }
      this.#cuts.delete(cut)
      const to = direction === 'to the server' ? pair.server : pair.client
      to.write(chunk.subarray(0, left), () => {
        reset(pair)
        done.resolve('cut')
      })
      return true
    }
    return await this.#carryOut(cut, done.promise, ms)
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve))
    for (const pair of this.#pairs) reset(pair)
    await closed
  }

  async #carryOut<R>(cut: Cut, done: Promise<R>, ms: number): Promise<R | undefined> {
    this.#cuts.add(cut)
    const result = await within(ms, done)
    if (result !== undefined) return result
    // Under way already: it will be done.
    return this.#cuts.delete(cut) ? undefined : await done
  }

  #accept(client: Socket): void {
    const server = connect(this.#target, '127.0.0.1')
    const pair: Pair = { client, server, parted: false, sent: [], prepared: new Map() }
    this.#pairs.add(pair)
    client.setNoDelay()
    server.setNoDelay()
    client.on('data', (chunk) => this.#pass(chunk, 'to the server', pair)).on('error', ignored)
    client.on('close', () => void (pair.parted || server.end()))
    server.on('data', (chunk) => this.#pass(chunk, 'from the server', pair)).on('error', ignored)
    server.on('close', () => {
      this.#pairs.delete(pair)
      client.end()
    })
  }

  #pass(chunk: Buffer, direction: Direction, pair: Pair): void {
    const text = direction === 'to the server' ? spelledOut(chunk, pair) : ''
    if (direction === 'to the server') {
      if (text.includes(begin)) pair.sent = []
      // A transaction of the workload's has few statements.
      if (pair.sent.length < 200) pair.sent.push(text)
    }
    for (const cut of this.#cuts) if (cut(chunk, direction, pair, text)) return
    if (direction === 'to the server') pair.server.write(chunk)
    else if (!pair.parted) pair.client.write(chunk)
  }
}

function spelledOut(chunk: Buffer, { prepared }: Pair): string {
  const text = chunk.toString('latin1')
  if (!text.includes('onefold_')) return text
  for (const [, name = '', statement = ''] of text.matchAll(prepares)) prepared.set(name, statement)
  return [text, ...[...text.matchAll(uses)].map(([, name = '']) => prepared.get(name) ?? '')].join('')
}

const ignored = (): void => {}

function reset({ client, server }: Pair): void {
  client.resetAndDestroy()
  server.resetAndDestroy()
}
