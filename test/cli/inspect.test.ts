import { copyFileSync, statSync } from 'node:fs'
import { userInfo } from 'node:os'
import { describe, expect, test } from 'vitest'
import type { Json } from './run-onefold.ts'
import { Place, until } from './run-onefold.ts'

const prepared = prepareTrouble()

/** Two messages that failed, one of them with another of its key behind it, and one that was applied. */
async function prepareTrouble(): Promise<Place> {
  const place = new Place()
  place.lines('in.ndjson', [
    { id: 'bad-1', key: 'k' },
    { id: 'after-1', key: 'k' },
    { id: 'good', key: 'other' },
    { id: 'bad-2', key: 'third' },
  ])
  await place.onefold('publish orders in.ndjson --id id --key key')
  const exec = 'case "$ONEFOLD_ID" in bad*) echo "out of stock" >&2; exit 3;; esac'
  const { code } = await place.onefold([
    'consume',
    'orders',
    '--group',
    'ship',
    '--until-idle',
    '--max-attempts',
    '1',
    '--exec',
    exec,
  ])
  expect(code).toBe(1)
  return place
}

async function placeWithTrouble(): Promise<Place> {
  const place = new Place()
  // Nobody has the database open any more, so the file is all of it.
  copyFileSync((await prepared).path('onefold.db'), place.path('onefold.db'))
  return place
}

describe.concurrent('onefold status', () => {
  test('shows topics, groups, owners, the lock, sizes and what each group promises', async () => {
    const place = await placeWithTrouble()
    const { code, stdout, stderr } = await place.onefold('status')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^onefold\.db {2}\S+ (KiB|MiB), write-ahead log .*, write lock free/)
    expect(stdout).toMatch(/orders +4 +4 +0 +yes +error +0:/)
    expect(stdout).toMatch(/orders +ship +\d+ +0 +0 +1 +2 .* at-least-once/)
    expect(stdout).toContain('at-least-once: acknowledged after the handler, never inside a transaction')
    const { document } = await place.json('status')
    expect(document.topics).toMatchObject([{ name: 'orders', messages: 4, accepted: 4, duplicates: 0, keyed: true }])
    expect(document.groups).toMatchObject([
      { topic: 'orders', group: 'ship', lag: 0, parked: 1, attention: 2, semantics: 'at-least-once' },
    ])
    expect(document.database).toMatchObject({ writeLockHolder: null })
  })

  test('of an empty database says how to go on', async () => {
    const place = new Place()
    await place.onefold('publish t', { input: '1\n' })
    expect((await place.onefold('status')).stdout).toContain('none yet: onefold consume TOPIC --group G creates one')
  })

  test('names the live process that consumes', async () => {
    const place = await placeWithTrouble()
    const consume = place.start('consume orders --group other')
    await consume.until(() => consume.stdout.split('\n').length === 5, 'all messages')
    const { document } = await place.json('status')
    expect(document.owners).toEqual(expect.arrayContaining([expect.objectContaining({ pid: consume.child.pid, alive: 'alive' })]))
    expect((await place.onefold('status')).stdout).toMatch(new RegExp(`${consume.child.pid} +yes +\\d+ .* left`))
    consume.child.kill('SIGKILL')
    await consume.ended
    expect((await place.onefold('status')).stdout).toMatch(new RegExp(`${consume.child.pid} +no`))
  })

  test('names the process that holds the write lock, and waits for nobody', async () => {
    const place = await placeWithTrouble()
    const script = `
      const db = new (require('node:sqlite').DatabaseSync)('onefold.db')
      db.exec('begin immediate')
      console.log('locked')
      setInterval(() => db.isTransaction, 1000)`
    const holder = place.run(process.execPath, ['-e', script])
    await holder.until(() => holder.stdout.includes('locked'), 'the lock')
    expect((await place.onefold('status')).stdout).toContain(`write lock held by pid ${holder.child.pid}`)
    expect((await place.json('status')).document.database.writeLockHolder).toEqual({ pid: holder.child.pid })
    holder.child.kill('SIGKILL')
    await holder.ended
    expect((await place.onefold('status')).stdout).toContain('write lock free')
  })

  test('--watch shows it again until it is interrupted', async () => {
    const place = await placeWithTrouble()
    const watch = place.start('status --watch')
    await watch.until(() => watch.stdout.split('write lock').length >= 3, 'two pictures')
    watch.child.kill('SIGINT')
    expect(await watch.ended).toMatchObject({ code: 0 })
  })

  test('a reader that leaves is no error', async () => {
    const place = await placeWithTrouble()
    const { stdout, stderr } = await place.shell('onefold status --watch | head -1; echo "code $PIPESTATUS"').ended
    expect(stderr).toBe('')
    expect(stdout).toMatch(/code 0\n$/)
  })
})

describe.concurrent('onefold attention', () => {
  test('lists by what failed, shows one in full, and says what each action would do', async () => {
    const place = await placeWithTrouble()
    const { stdout } = await place.onefold('attention')
    expect(stdout).toMatch(
      /^2 dead letters of orders in group ship: CommandFailed: the command ended with exit code 3: out of stock\n {2}fingerprint [0-9a-f]{12}\n/,
    )
    expect(stdout).toMatch(/bad-1 +k +1 +0 +1 /)
    const { items, more } = (await place.json('attention list --limit 1')).document
    expect({ shown: items.length, more }).toEqual({ shown: 1, more: true })
    expect((await place.json('attention list --group nobody')).document).toEqual({ groups: [], items: [], more: false })
    expect((await place.onefold('attention list --state discarded')).stdout).toBe('nothing found\n')

    const bad = (await place.json('attention')).document.items.find((item: Json) => item.message.id === 'bad-1')
    const shown = await place.onefold(`attention show ${bad.id}`)
    expect(shown.stdout).toContain('"id": "***"')
    expect((await place.onefold(`attention show ${bad.id} --reveal`)).stdout).toContain('"id": "bad-1"')
    expect(shown.stdout).toContain('exit code 3: out of stock')
    expect(shown.stdout.replace(/\s+/g, ' ')).toContain(
      'Runs group ship again on this message: a new first attempt with the same identity. Then 1 message waiting behind it follows, in order.',
    )
    expect((await place.json(`attention show ${bad.id}`)).document).toMatchObject({
      id: bad.id,
      message: { id: 'bad-1', key: 'k', data: { id: '***', key: '***' }, headers: {} },
      masked: true,
      error: { name: 'CommandFailed', stack: expect.any(String) },
    })
  })

  test('redrive runs it again with what waits behind it, in order; a second redrive changes nothing', async () => {
    const place = await placeWithTrouble()
    const { items } = (await place.json('attention')).document
    const ids = items.map((item: Json) => item.id).join(' ')
    expect((await place.json(`attention redrive ${ids}`)).document).toEqual({
      action: 'redrive',
      results: items.map((item: Json) => ({ id: item.id, result: 'done' })),
    })
    expect(await place.onefold(`attention redrive ${ids}`)).toMatchObject({
      code: 0,
      stdout: items.map((item: Json) => `${item.id}: already\n`).join(''),
    })
    const exec = 'echo "$ONEFOLD_ID $ONEFOLD_ATTEMPT" >> again'
    expect(await place.onefold(['consume', 'orders', '--group', 'ship', '--until-idle', '--exec', exec])).toMatchObject({
      code: 0,
    })
    const again = (await place.shell('cat again').ended).stdout.trim().split('\n')
    expect(again.toSorted()).toEqual(['after-1 1', 'bad-1 1', 'bad-2 1'])
    expect(again.indexOf('bad-1 1')).toBeLessThan(again.indexOf('after-1 1'))
    const closed = (await place.json('attention list --state redriven')).document.items
    expect(closed).toMatchObject([{ by: userInfo().username }, { by: userInfo().username }])
  })

  test('discard takes a name and a reason, and lets what waits behind it go on', async () => {
    const place = await placeWithTrouble()
    const bad = (await place.json('attention')).document.items.find((item: Json) => item.message.id === 'bad-1')
    const discard = ['attention', 'discard', bad.id, '--reason', 'customer left', '--by', 'mia']
    expect(await place.onefold(discard)).toMatchObject({ code: 0, stdout: `${bad.id}: done\n` })
    expect(await place.onefold(discard)).toMatchObject({ code: 0, stdout: `${bad.id}: already\n` })
    expect((await place.json(`attention show ${bad.id}`)).document).toMatchObject({
      state: 'discarded',
      by: 'mia',
      reason: 'customer left',
    })
    const rest = await place.onefold('consume orders --group ship --until-idle')
    expect(
      rest.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).id),
    ).toEqual(['after-1'])
  })

  test('an id that is not there is named, the others are done; exit code 1', async () => {
    const place = await placeWithTrouble()
    const { items } = (await place.json('attention')).document
    expect(await place.json(`attention redrive ${items[0].id} a999`)).toMatchObject({
      code: 1,
      document: {
        results: [
          { id: items[0].id, result: 'done' },
          { id: 'a999', result: 'not found' },
        ],
      },
    })
    expect(await place.onefold('attention show a999')).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/a999[\s\S]*code NOT_FOUND/),
    })
  })
})

describe.concurrent('onefold group and topic', () => {
  test('group list and remove: says what was removed, and the group starts anew afterwards', async () => {
    const place = await placeWithTrouble()
    expect((await place.onefold('group')).stdout).toMatch(/orders +ship/)
    expect((await place.json('group list')).document.groups).toMatchObject([{ topic: 'orders', group: 'ship' }])
    expect(await place.json('group remove ship --topic orders')).toMatchObject({
      code: 0,
      document: { topic: 'orders', group: 'ship', removed: { parked: 1, attention: 2, calls: 0 } },
    })
    expect((await place.onefold('group list')).stdout).toContain('no groups yet')
    expect(await place.onefold('group remove ship --topic orders')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('code NOT_FOUND'),
    })
    expect((await place.onefold('consume orders --group ship --until-idle')).stdout.trim().split('\n')).toHaveLength(4)
  })

  test('a group that a process consumes is not removed', async () => {
    const place = await placeWithTrouble()
    const consume = place.start('consume orders --group other')
    await consume.until(() => consume.stdout.split('\n').length === 5, 'all messages')
    expect(await place.onefold('group remove other --topic orders')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('code NOT_POSSIBLE'),
    })
    consume.child.kill('SIGTERM')
    await consume.ended
    expect(await place.onefold('group remove other --topic orders')).toMatchObject({ code: 0 })
  })

  test('topic list and change: refused while a group is behind, done once it has caught up', async () => {
    const place = new Place()
    await place.onefold('publish t --id id', { input: '{"id":"a"}\n' })
    expect((await place.json('topic')).document.topics).toMatchObject([{ name: 't', keyed: null, idReuse: 'error', messages: 1 }])
    await place.shell('onefold consume t --group g --from earliest --exec false --max-attempts 1 --until-idle').ended
    expect(await place.onefold('topic change t --partitions 16')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('code NOT_POSSIBLE'),
    })
    await place.onefold('group remove g --topic t')
    expect((await place.json('topic change t --partitions 16 --keyed yes --id-reuse ignore')).document.topic).toMatchObject({
      name: 't',
      keyed: true,
      idReuse: 'ignore',
      partitions: { length: 16 },
    })
    expect((await place.json('publish t --id id', { input: '{"id":"a","other":1}\n' })).document).toMatchObject({ duplicate: 1 })
    expect(await place.onefold('topic change nope --partitions 16')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('code NOT_FOUND'),
    })
  })
})

describe.concurrent('onefold backup', () => {
  test('copies a database in use; the copy is whole, and is a new incarnation', async () => {
    const place = await placeWithTrouble()
    const consume = place.start('consume orders --group other')
    await until(
      async () => (await place.json('status')).document.owners.length > 0,
      () => 'the consumer',
    )
    expect(await place.json('backup copy.db')).toMatchObject({
      code: 0,
      stderr: '',
      document: { database: 'onefold.db', file: 'copy.db', bytes: statSync(place.path('copy.db')).size },
    })
    consume.child.kill('SIGTERM')
    await consume.ended
    const original = (await place.json('status')).document
    const copy = (await place.json('status --db copy.db')).document
    expect(copy.topics).toEqual(original.topics)
    expect(copy.database.incarnation).not.toBe(original.database.incarnation)
    expect(copy.owners).toEqual([])
  })

  test('refuses a file that exists', async () => {
    const place = await placeWithTrouble()
    place.write('there.db', 'something dear')
    const { code, stderr } = await place.onefold('backup there.db')
    expect(code).toBe(1)
    expect(stderr).toContain('there.db exists already')
    expect(statSync(place.path('there.db')).size).toBe('something dear'.length)
  })
})
