import { once } from 'node:events'
import type { Socket } from 'node:net'
import { connect, createServer } from 'node:net'
import { freePort } from '../scripts/engines/free-port.ts'
import { within } from './slot.ts'

/** COMMIT as a simple query, in the server's protocol. */
const commit = Buffer.from('commit\0')
const begin = Buffer.from('begin ')

/**
 * never-sent: the server does not see it · answer-lost: it does, and its answer is dropped · held: the client is cut off, and the
 * server sees it when it is let go, whatever has become of the client by then.
 */
export type CommitCut = 'never-sent' | 'answer-lost' | 'held'
export type Direction = 'to the server' | 'from the server'

/** What is to become of the next bytes; answers true when it has dealt with them itself. */
type Cut = (chunk: Buffer, direction: Direction, pair: Pair) => boolean

interface Pair {
  readonly client: Socket
  readonly server: Socket
  /** The client has been cut off, and the server does not know yet. */
  parted: boolean
  /** What the client has sent since it began its last transaction, the first of it. */
  sent: Buffer[]
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
   * The next COMMIT that passes, of a transaction in which this text was sent. Undefined: none did within `ms`, and the next one is
   * let through.
   */
  async cutAtCommit(how: CommitCut, text: string, ms: number): Promise<{ letGo(): void } | undefined> {
    const done = Promise.withResolvers<{ letGo(): void }>()
    const nothing = { letGo: (): void => {} }
    const cut: Cut = (chunk, direction, pair) => {
      if (direction !== 'to the server' || !chunk.includes(commit) || !Buffer.concat(pair.sent).includes(text)) return false
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
    const pair: Pair = { client, server, parted: false, sent: [] }
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
    if (direction === 'to the server') {
      if (chunk.includes(begin)) pair.sent = []
      // A transaction of the workload's has few statements.
      if (pair.sent.length < 200) pair.sent.push(chunk)
    }
    for (const cut of this.#cuts) if (cut(chunk, direction, pair)) return
    if (direction === 'to the server') pair.server.write(chunk)
    else if (!pair.parted) pair.client.write(chunk)
  }
}

const ignored = (): void => {}

function reset({ client, server }: Pair): void {
  client.resetAndDestroy()
  server.resetAndDestroy()
}
