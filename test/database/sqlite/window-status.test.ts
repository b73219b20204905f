import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, onTestFinished, test } from 'vitest'
import { renderStatus } from '../../../src/cli/render-status.ts'
import { migrations } from '../../../src/database/sqlite/schema.ts'
import { generationRows } from '../../../src/database/window-rules.ts'
import { temporaryFolder } from '../../support/temporary.ts'
import { minuteMs, published, WindowDatabase } from '../../support/window-database.ts'

async function opened(options: Parameters<typeof WindowDatabase.open>[0] = {}): Promise<WindowDatabase> {
  const file = await WindowDatabase.open(options)
  onTestFinished(() => file.close())
  return file
}
const windowOf = async (file: WindowDatabase) => (await file.database.status()).dedupWindows[0]!
const shown = async (file: WindowDatabase): Promise<string> => {
  const status = await file.database.status()
  return renderStatus({ ...status, schedules: [] }, file.nowMs)
}

describe('status of a dedup window', () => {
  test('how far it reaches back and how much room is left, by ids and by time', async () => {
    const file = await opened({ ms: 16 * minuteMs, maxIds: 100 })
    await file.claim(published('a', file.nowMs))
    expect(await windowOf(file)).toMatchObject({
      topic: 't',
      group: 'g',
      windowMs: null,
      maxIds: null,
      headroom: { ids: null, ms: null },
    })
    await file.maintain()
    const fresh = await windowOf(file)
    expect(fresh).toMatchObject({
      ids: 1,
      generations: 1,
      windowMs: 16 * minuteMs,
      maxIds: 100,
      shrunk: false,
      forgottenMs: null,
    })
    expect(fresh.headroom.ids).toBe(100 + generationRows - 1)
    await file.run(4 * minuteMs)
    await file.claim(published('b', file.nowMs), published('c', file.nowMs))
    const later = await windowOf(file)
    expect(later).toMatchObject({ ids: 3, generations: 2, shrunk: false })
    expect(later.liveMs).toBeGreaterThan(4 * minuteMs)
    expect(later.headroom.ids).toBe(98)
    expect(later.headroom.ms).toBeGreaterThan(10 * minuteMs)
    expect(later.headroom.ms).toBeLessThanOrEqual(16 * minuteMs)
    expect(await shown(file)).toMatch(/t\/g +3 +\d min .* 16 min +2 +98 more ids, or 1\d min/)
  })

  test('what is told of the time left is kept: it forgets then, not before', async () => {
    const file = await opened({ ms: 16 * minuteMs })
    await file.claim(published('a', file.nowMs))
    await file.run(4 * minuteMs)
    const saidMs = (await windowOf(file)).headroom.ms ?? 0
    const fromMs = file.nowMs
    while ((await windowOf(file)).forgottenMs === null) await file.run(minuteMs)
    expect(file.nowMs - fromMs).toBeGreaterThanOrEqual(saidMs)
    expect(file.nowMs - fromMs).toBeLessThan(saidMs + 5 * minuteMs)
    expect(await windowOf(file)).toMatchObject({ ids: 0, shrunk: false })
  })

  test('one that forgot ids before their time says so, once in an event, and until it reaches back far enough again', async () => {
    const file = await opened({ ms: 16 * minuteMs, maxIds: 2 })
    await file.claim(published('a', file.nowMs))
    await file.run(4 * minuteMs)
    await file.claim(published('b', file.nowMs), published('c', file.nowMs))
    expect((await windowOf(file)).headroom.ids).toBe(0)
    await file.run(2 * minuteMs)
    expect(file.events).toMatchObject([
      { kind: 'window-shrunk', topic: 't', group: 'g', message: expect.stringMatching(/1 ids.*maxIds is 2/) },
    ])
    expect(await windowOf(file)).toMatchObject({ shrunk: true, ids: 2 })
    expect(await shown(file)).toContain('t/g is SHORTER THAN CONFIGURED')
    await file.run(20 * minuteMs)
    expect(await windowOf(file)).toMatchObject({ shrunk: false })
    expect(file.events).toHaveLength(1)
    expect(await shown(file)).not.toContain('SHORTER')
  })

  test('a process that was not told of a window shows what the owner of the file has configured', async () => {
    const owner = await opened({ ms: 30 * minuteMs, maxIds: 5_000 })
    await owner.claim(published('a', owner.nowMs))
    await owner.maintain()
    const tool = await opened({ file: owner.file, ms: 7 * 24 * 60 * minuteMs, stated: false })
    expect(await windowOf(tool)).toMatchObject({ windowMs: 30 * minuteMs, maxIds: 5_000 })
  })
})

test('a file of the first version keeps its generations, what they had lived through, and views that are broken', async () => {
  const path = join(temporaryFolder(), 'first.db')
  const first = new DatabaseSync(path)
  first.exec(migrations[0]!.replaceAll('{p}', 'onefold_'))
  first.exec(`
    insert into onefold_meta values ('schema_version', 1), ('incarnation', 'x');
    insert into onefold_subscription (topic, grp, semantics, start_from, created_ms) values ('t', 'g', 's', 'earliest', 0);
    insert into onefold_window (topic, grp) values ('t', 'g');
    insert into onefold_source (name) values ('s');
    insert into onefold_generation (window, opened_ms, sealed_ms, observed_ms, rows, filter)
      values (1, 1000, 2000, ${20 * minuteMs}, 1, null), (1, 2000, 3000, ${minuteMs}, 1, null), (1, 3000, null, 0, 0, null);
    insert into onefold_identity values (1, 1, x'01', x'02'), (2, 1, x'03', x'04');
    create view broken as select * from nowhere;
  `)
  first.close()
  const file = await opened({ file: path, ms: 16 * minuteMs })
  expect(await windowOf(file)).toMatchObject({ ids: 2, generations: 3, forgottenMs: null })
  await file.run(2 * minuteMs)
  expect(await windowOf(file)).toMatchObject({ ids: 1, generations: 2, forgottenMs: 2000 })
  expect(await file.claim(published('a', 2000), published('b', 2001))).toEqual(['too-old', 'new'])
  await file.run(16 * minuteMs)
  expect(await windowOf(file)).toMatchObject({ ids: 2, forgottenMs: 3000 })
})
