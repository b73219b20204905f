/**
 * One message at a time, at idle: from the call of `publish` to the commit of its effect. In one process, or published by
 * another than the one that applies it. `node bench/latency.ts '{…}'` prints one line of JSON.
 */
import { fork } from 'node:child_process'
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { bookings } from './message.ts'
import { bookingTopic, OnefoldLoop } from './onefold-loop.ts'

export interface LatencyOptions {
  readonly file: string
  readonly count: number
  readonly processes: 1 | 2
  readonly role?: 'consumer'
}

export interface Latency {
  readonly p50Ms: number
  readonly p99Ms: number
}

const now = (): number => performance.timeOrigin + performance.now()

/** Tells, for every commit of the consumer, when it was. */
async function startConsumer(file: string, committed: (atMs: number) => void): Promise<OnefoldLoop> {
  let handled = 0
  const loop: OnefoldLoop = new OnefoldLoop({
    file,
    stripped: false,
    inbox: undefined,
    reached(point) {
      if (point !== 'consume:committed' || loop.applied === handled) return
      handled = loop.applied
      committed(now())
    },
  })
  loop.consume()
  await loop.app.start()
  return loop
}

async function measure({ file, count, processes }: LatencyOptions): Promise<Latency> {
  {
    using database = new DatabaseSync(file)
    database.exec('pragma journal_mode = wal; create table account (id text primary key, balance integer not null) without rowid')
  }
  let arrived: (atMs: number) => void = () => {}
  const next = (): Promise<number> => new Promise((resolve) => (arrived = resolve))
  const stop = processes === 1 ? await inProcess(file, (atMs) => arrived(atMs)) : await inAnother(file, (atMs) => arrived(atMs))
  const publisher = processes === 1 ? stop.app : new OnefoldLoop({ file, stripped: false, inbox: undefined }).app
  const messages = bookings(0, count + 20, 'ordered', 1_000)
  const took: number[] = []
  for (const [index, message] of messages.entries()) {
    // Neither side has anything to do, and nothing is warm from the message before.
    await sleep(5 + (index % 17))
    const from = now()
    const at = next()
    await publisher.publish(bookingTopic, message)
    if (index >= 20) took.push((await at) - from)
    else await at
  }
  await stop.end()
  if (processes === 2) await publisher.stop()
  took.sort((a, b) => a - b)
  return { p50Ms: took[Math.floor(count / 2)] ?? 0, p99Ms: took[Math.floor(count * 0.99)] ?? 0 }
}

async function inProcess(file: string, arrived: (atMs: number) => void) {
  const loop = await startConsumer(file, arrived)
  return { app: loop.app, end: () => loop.app.stop() }
}

async function inAnother(file: string, arrived: (atMs: number) => void) {
  const child = fork(import.meta.filename, [
    JSON.stringify({ file, count: 0, processes: 2, role: 'consumer' } satisfies LatencyOptions),
  ])
  const ready = new Promise<void>((resolve) => {
    child.on('message', (message: number | 'ready') => (message === 'ready' ? resolve() : arrived(message)))
  })
  await ready
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  return {
    app: new OnefoldLoop({ file, stripped: false, inbox: undefined }).app,
    end: async () => {
      child.disconnect()
      await ended
    },
  }
}

/** The measure of all waiting: one small write and its fdatasync, median of 200. */
export function fsyncMs(file: string): number {
  const descriptor = openSync(file, 'w')
  const page = Buffer.alloc(4_096)
  const took = Array.from({ length: 200 }, (_, index) => {
    writeSync(descriptor, page, 0, page.length, index * page.length)
    const from = performance.now()
    fdatasyncSync(descriptor)
    return performance.now() - from
  })
  closeSync(descriptor)
  return took.sort((a, b) => a - b)[100] ?? 0
}

if (import.meta.main) {
  const options = JSON.parse(process.argv[2] ?? '') as LatencyOptions
  if (options.role === 'consumer') {
    const loop = await startConsumer(options.file, (atMs) => process.send?.(atMs))
    process.once('disconnect', () => void loop.app.stop())
    process.send?.('ready')
  } else process.stdout.write(`${JSON.stringify(await measure(options))}\n`)
}
