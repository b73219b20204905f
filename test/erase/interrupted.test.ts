import { expect, test } from 'vitest'
import { TerminalError, topic } from '../../src/index.ts'
import type { Context } from '../support/engines.ts'
import { describeOnEngines, handler } from '../support/engines.ts'
import type { EraseProcessConfig } from '../support/erase-process.ts'
import { eraseProcess } from '../support/erase-process.ts'
import { Worker } from '../support/torture-process.ts'
import { until } from '../support/until.ts'

interface Note {
  readonly id: string
  readonly who: string
}
const notes = topic<Note>('notes', { partitions: 2, id: ({ id }) => id, key: ({ who }) => who })

describeOnEngines('interrupted erasure', (engine) => {
  test('killed after each of its commits in turn, an erasure is finished by the next; consumers go on meanwhile, and nobody else loses anything', {
    timeout: 30_000,
  }, async () => {
    const store = await engine.store()
    const app = store.app()
    app.consume(notes, {
      group: 'g',
      maxAttempts: 1,
      apply: handler(function* ({ id, who }: Note, { tx }: Context) {
        if (who === 'anna') throw new TerminalError('no')
        yield store.write(tx, 'insert into effect values (?, 1)', id)
      }),
    })
    const of = (who: string, count: number) =>
      Array.from({ length: count }, (_, number) => ({ data: { id: `${who}-${number}`, who } }))
    await app.publishMany(notes, of('anna', 900))
    for (const { data } of of('anna-later', 300))
      await app.publish(notes, { id: data.id, who: 'anna' }, { deliverAt: new Date(Date.now() + 3_600_000) })
    await app.start()
    await app.idle()

    const config = { at: store.config, topic: 'notes', key: 'anna', killAtCommit: 2 } satisfies EraseProcessConfig
    let ended: { readonly signal: NodeJS.Signals | null } | undefined
    let killed = 0
    let result = {}
    for (let round = 0; ended?.signal !== null; round++) {
      await app.publishMany(notes, of(`bert-${round}`, 20))
      const worker = new Worker(eraseProcess, config)
      ended = await worker.end()
      if (ended.signal === 'SIGKILL') killed++
      else result = JSON.parse(worker.lines.at(-1) ?? '{}')
    }
    // Four commits for the delayed ones and those in the log each, two at a time, and as many for the parked ones.
    expect(killed).toBeGreaterThanOrEqual(5)
    expect(result).toMatchObject({ scheduled: 0, messages: 0 })
    const records = await store.rows<{ rows: number; finished_ms: number | null }>(
      `select rows, finished_ms from ${store.table('erasure')} order by erasure`,
    )
    expect(records.map(({ finished_ms }) => finished_ms !== null)).toEqual([...Array(killed).fill(false), true])
    // 900 in the log, 900 parked, 300 delayed, and one attention item.
    expect(records.reduce((sum, { rows }) => sum + rows, 0)).toBe(2_101)
    for (const table of ['log', 'parked', 'attention', 'schedule'])
      expect(await store.column(`select count(*) from ${store.table(table)} where key = 'anna'`), table).toEqual([0])
    await until(async () => (await store.effects()).length === 20 * (killed + 1), 'all of the others')
    expect(new Set(await store.effects()).size).toBe(20 * (killed + 1))
    expect((await app.status()).groups).toMatchObject([{ parked: 0, attention: 0, lag: 0 }])
  })

  test('two that erase the same key at the same time count each row once between them', async () => {
    const store = await engine.store()
    const apps = [store.app(), store.app()]
    await apps[0]!.publishMany(
      notes,
      Array.from({ length: 1_000 }, (_, number) => ({ data: { id: `${number}`, who: number % 2 === 0 ? 'anna' : 'bert' } })),
    )
    const results = await Promise.all(apps.map((app) => app.erase(notes, { key: 'anna', by: 'officer' })))
    expect(results[0]!.messages + results[1]!.messages).toBe(500)
    expect(await store.column(`select count(*) from ${store.log} where key = 'bert'`)).toEqual([500])
  })
})
