import { expect, test } from 'vitest'
import { topic } from '../../src/index.ts'
import { TemporaryFile } from '../support/temporary.ts'

const count = 1_000_000
const allowedMs = 200
const notes = topic<{ n: number }>('notes', { partitions: 8 })

const median = (values: number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN

/** What a process pays before it can work, and what `onefold status` pays: opened, started, asked. */
async function startAndStatus(file: TemporaryFile): Promise<{ startMs: number; statusMs: number }> {
  const app = file.app()
  app.consume(notes, { group: 'late', startFrom: 'latest', apply: () => undefined })
  const startedMs = performance.now()
  await app.start()
  await app.publish(notes, { n: -1 })
  const readyMs = performance.now()
  await app.status()
  const statusMs = performance.now() - readyMs
  await app.stop()
  return { startMs: readyMs - startedMs, statusMs }
}

test(`${count} messages in the file: start and status take at most ${allowedMs} ms more than on an empty one`, async () => {
  const empty = new TemporaryFile('')
  const full = new TemporaryFile('')
  const producer = full.app()
  for (let from = 0; from < count; from += 50_000)
    await producer.publishMany(
      notes,
      Array.from({ length: 50_000 }, (_, index) => ({ data: { n: from + index } })),
    )
  expect((await producer.status()).topics).toMatchObject([{ messages: count }])
  // A group that has all of it before it, and one that has none.
  const waiting = full.app()
  waiting.consume(notes, 'behind', () => undefined)
  await waiting.start({ groups: [] })
  await waiting.stop()
  await producer.stop()
  const onEmpty: Awaited<ReturnType<typeof startAndStatus>>[] = []
  const onFull: Awaited<ReturnType<typeof startAndStatus>>[] = []
  for (let round = 0; round < 7; round++) {
    onEmpty.push(await startAndStatus(empty))
    onFull.push(await startAndStatus(full))
  }
  for (const name of ['startMs', 'statusMs'] as const) {
    const [before, after] = [median(onEmpty.map((each) => each[name])), median(onFull.map((each) => each[name]))]
    console.log(`${name}: ${before.toFixed(1)} empty, ${after.toFixed(1)} with ${count} messages`)
    expect(after - before).toBeLessThan(allowedMs)
  }
})
