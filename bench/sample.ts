/** One measurement, in a process of its own: `node bench/sample.ts '{…}'` prints one line of JSON. */
import { DatabaseSync } from 'node:sqlite'
import { batchSize, Floor } from './floor.ts'
import type { Booking, IdKind } from './message.ts'
import { bookings } from './message.ts'
import { OnefoldLoop } from './onefold-loop.ts'

export type Phase = 'publish' | 'publish one by one' | 'consume' | 'end to end'

export interface SampleOptions {
  readonly subject: 'floor' | 'onefold'
  readonly phase: Phase
  /** A file that does not exist yet, or one that is `stored` messages long. */
  readonly file: string
  /** The first message's number: what is in the file ends before it. */
  readonly start: number
  readonly count: number
  readonly ids: IdKind
  readonly accounts: number
  readonly stripped?: boolean
  readonly inbox?: boolean
  /** So many of the messages go through first, and are not timed. */
  readonly untimed?: number
}

export interface Sample {
  readonly perSecond: number
}

async function sample(options: SampleOptions): Promise<Sample> {
  const messages = bookings(options.start, options.count, options.ids, options.accounts)
  const warm = bookings(0, 20_000, options.ids, options.accounts)
  const measure = options.subject === 'floor' ? measureFloor : measureOnefold
  // Both are measured as compiled code: a process that has run for a while.
  await measure({ ...options, file: `${options.file}-warm` }, warm)
  globalThis.gc?.()
  return { perSecond: Math.round((options.count - (options.untimed ?? 0)) / (await measure(options, messages))) }
}

async function measureFloor({ file, phase }: SampleOptions, messages: readonly Booking[]): Promise<number> {
  using floor = new Floor(file)
  if (phase === 'consume') floor.publish(messages)
  const from = performance.now()
  if (phase === 'publish' || phase === 'publish one by one') floor.publish(messages)
  else if (phase === 'consume') floor.consume()
  else {
    for (let first = 0; first < messages.length; first += batchSize) {
      floor.publish(messages.slice(first, first + batchSize))
      floor.consume()
    }
  }
  return (performance.now() - from) / 1_000
}

async function measureOnefold(options: SampleOptions, messages: readonly Booking[]): Promise<number> {
  const { file, phase } = options
  {
    using database = new DatabaseSync(file)
    database.exec(
      'pragma journal_mode = wal; create table if not exists account (id text primary key, balance integer not null) without rowid',
    )
  }
  const subject = { file, stripped: options.stripped === true, inbox: options.inbox }
  if (phase === 'consume') {
    const publisher = new OnefoldLoop(subject)
    await publisher.publish(messages)
    await publisher.app.stop()
  }
  const loop = new OnefoldLoop(subject)
  let from = performance.now()
  if (phase === 'publish' || phase === 'publish one by one') {
    await loop.app.status()
    from = performance.now()
    await (phase === 'publish' ? loop.publish(messages) : loop.publishOneByOne(messages))
  } else {
    loop.consume()
    if (phase === 'end to end') {
      const untimed = options.untimed ?? 0
      await loop.app.start()
      await loop.publish(messages.slice(0, untimed))
      await loop.finished(untimed)
      from = performance.now()
      await loop.publish(messages.slice(untimed))
    } else await loop.app.start()
    await loop.finished(messages.length)
    if (loop.applied !== messages.length) throw new Error(`applied ${loop.applied} of ${messages.length}`)
  }
  const seconds = (performance.now() - from) / 1_000
  await loop.app.stop()
  return seconds
}

if (import.meta.main)
  process.stdout.write(`${JSON.stringify(await sample(JSON.parse(process.argv[2] ?? '') as SampleOptions))}\n`)
