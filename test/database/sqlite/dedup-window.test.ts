import { describe, expect, test } from 'vitest'
import { topic } from '../../../src/index.ts'
import { TemporaryFile } from '../../support/temporary.ts'
import { sleep, until } from '../../support/until.ts'

const notes = topic<number>('notes', { partitions: 1 })
const items = (from: number, to: number, prefix = 'id') =>
  Array.from({ length: to - from }, (_, index) => ({ data: from + index, id: `${prefix}-${from + index}` }))

interface Generation {
  readonly generation: number
  readonly rows: number
  readonly sealed: number
  readonly filtered: number
}
const generations = (file: TemporaryFile) =>
  file.rows<Generation>(
    'select generation, rows, sealed_ms is not null as sealed, filter is not null as filtered from onefold_generation order by generation',
  )
const statuses = async (app: ReturnType<TemporaryFile['app']>, all: { data: number; id: string }[]) =>
  new Set((await app.publishMany(notes, all)).map((receipt) => receipt.status))

describe('a window that has grown past one generation', () => {
  test('rotates, filters what is sealed, and recognises duplicates of every generation, also after a restart and in another app', {
    timeout: 30_000,
  }, async () => {
    const file = new TemporaryFile('')
    const app = file.app()
    await app.start()
    await app.publishMany(notes, items(0, 70_000))
    expect(generations(file)).toMatchObject([{ sealed: 1 }, { sealed: 0 }])
    await until(() => generations(file)[0]?.filtered === 1, 'the filter', 5_000)
    const sample = [...items(0, 300), ...items(65_000, 66_200), ...items(69_700, 70_000)]
    expect(await statuses(app, sample)).toEqual(new Set(['duplicate']))
    await app.stop()
    const next = file.app()
    expect(await statuses(next, sample)).toEqual(new Set(['duplicate']))
    expect(await statuses(file.app(), sample)).toEqual(new Set(['duplicate']))
    expect(await statuses(next, items(70_000, 70_100))).toEqual(new Set(['accepted']))
    expect((await next.status()).dedupWindows).toMatchObject([{ name: 'notes', ids: 70_100, generations: 2 }])
    expect(file.column('select count(*) from onefold_log')).toEqual([70_100])
  })

  test('has its filter in the commit that seals it when one process wrote it alone, and soon when several did; the filter knows the ids of all', {
    timeout: 30_000,
  }, async () => {
    const alone = new TemporaryFile('')
    const app = alone.app()
    await app.publishMany(notes, items(0, 40_000))
    // Not accepted: rolled back with what was published beside it.
    const lost = app.transaction(({ publish }) => {
      for (let index = 0; index < 100; index++) publish(notes, index, { id: `lost-${index}` })
      throw new Error('not to be')
    })
    await expect(lost).rejects.toThrow('not to be')
    await app.publishMany(notes, items(39_900, 65_536))
    expect(generations(alone)).toMatchObject([{ rows: 65_536, sealed: 1, filtered: 1 }, { sealed: 0 }])
    expect(await statuses(app, items(0, 65_536))).toEqual(new Set(['duplicate']))
    expect(await statuses(app, [{ data: 1, id: 'lost-1' }])).toEqual(new Set(['accepted']))

    const shared = new TemporaryFile('')
    const [first, second] = [shared.app(), shared.app()]
    await first.publishMany(notes, items(0, 5, 'second'))
    await second.publishMany(notes, items(5, 10, 'second'))
    await first.publishMany(notes, items(0, 65_536, 'first'))
    expect(generations(shared)[0]?.sealed).toBe(1)
    await until(() => generations(shared)[0]?.filtered === 1, 'the filter', 5_000)
    for (const one of [first, second, shared.app()]) {
      expect(await statuses(one, items(0, 10, 'second'))).toEqual(new Set(['duplicate']))
      expect(await statuses(one, items(0, 1_000, 'first'))).toEqual(new Set(['duplicate']))
    }
  })

  test('is bounded by size: the oldest generation goes when the newer ones hold maxIds', { timeout: 30_000 }, async () => {
    const file = new TemporaryFile('')
    const app = file.app({ dedupWindow: { maxIds: 1_000 } })
    await app.publishMany(notes, items(0, 65_536))
    await app.start()
    await app.publishMany(notes, items(65_536, 66_400))
    await sleep(600)
    expect(generations(file)).toHaveLength(2)
    await app.publishMany(notes, items(66_400, 66_600))
    await until(
      () => generations(file).length === 1,
      () => JSON.stringify(generations(file)),
      8_000,
    )
    expect(file.column<number>('select count(*) from onefold_identity')[0]).toBe(1_064)
    expect(await statuses(app, items(66_000, 66_010))).toEqual(new Set(['duplicate']))
    expect(await statuses(app, items(0, 1))).toEqual(new Set(['accepted']))
    const shrunk = file.events.filter(({ kind }) => kind === 'window-shrunk')
    expect(shrunk).toMatchObject([{ topic: 'notes', message: expect.stringMatching(/65536 ids.*maxIds is 1000/) }])
    expect(shrunk[0]?.group).toBeUndefined()
    expect((await app.status()).dedupWindows).toMatchObject([
      { name: 'notes', topic: 'notes', group: null, shrunk: true, windowMs: 7 * 24 * 3_600_000, maxIds: 1_000 },
    ])
  })
})
