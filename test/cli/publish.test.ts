import { describe, expect, test } from 'vitest'
import { Place } from './run-onefold.ts'

const payments = Array.from({ length: 30 }, (_, index) => ({ id: `p-${index}`, account: `a-${index % 3}`, amount: index }))

describe.concurrent('onefold publish', () => {
  test('the same file twice: all accepted, then all duplicate', async () => {
    const place = new Place()
    place.lines('payments.ndjson', payments)
    const words = 'publish payments payments.ndjson --id id --key account'
    expect(await place.json(words)).toMatchObject({
      code: 0,
      stderr: '',
      document: { topic: 'payments', read: 30, accepted: 30, duplicate: 0, rejected: 0, rejectedLines: [] },
    })
    expect(await place.json(words)).toMatchObject({ code: 0, document: { read: 30, accepted: 0, duplicate: 30, rejected: 0 } })
    expect(await place.onefold(words)).toEqual({
      code: 0,
      signal: null,
      stdout: 'payments: 30 read, 0 accepted, 30 duplicate, 0 rejected\n',
      stderr: '',
    })
  })

  test('the same id with another body: rejected with ID_REUSED and its line, the others go in, exit code 1', async () => {
    const place = new Place()
    place.lines('first.ndjson', payments.slice(0, 3))
    place.lines('second.ndjson', [payments[0], { ...payments[1], amount: 999 }, payments[3]])
    await place.onefold('publish payments first.ndjson --id id')
    const { code, stdout, stderr } = await place.onefold('publish payments second.ndjson --id id')
    expect({ code, stdout }).toEqual({ code: 1, stdout: 'payments: 3 read, 1 accepted, 1 duplicate, 1 rejected\n' })
    expect(stderr).toMatch(/^line 2 rejected: ID_REUSED .*p-1/)
    expect(await place.json('publish payments second.ndjson --id id')).toMatchObject({
      code: 1,
      document: { read: 3, accepted: 0, duplicate: 2, rejected: 1, rejectedLines: [{ line: 2, code: 'ID_REUSED' }] },
    })
  })

  test('key order and spacing make no other body: the same data written differently is a duplicate', async () => {
    const place = new Place()
    const input = '{"id":"a","x":{"p":1,"q":[1.0]}}\r\n\n{ "x": {"q":[1],"p":1e0}, "id": "\\u0061" }\n'
    expect((await place.json('publish t --id id', { input })).document).toMatchObject({
      read: 2,
      accepted: 1,
      duplicate: 1,
      rejected: 0,
    })
  })

  test('every kind of bad line is rejected with its number and a reason, in the order of the file', async () => {
    const place = new Place()
    place.write(
      'mixed.ndjson',
      Buffer.concat([
        Buffer.from('\ufeff{"delivery":{"id":1}}\n'),
        Buffer.from('not json\n\n'),
        Buffer.from('{"delivery":{}}\n'),
        Buffer.from('{"delivery":{"id":null}}\n'),
        Buffer.from('{"delivery":{"id":12345678901234567890}}\n'),
        Buffer.from([0x22, 0xff, 0x22, 0x0a]),
        Buffer.from(`{"delivery":{"id":"big"},"data":"${'x'.repeat(1200)}"}\n`),
        Buffer.from(`{"delivery":{"id":${JSON.stringify('i'.repeat(5000))}}}\n`),
        Buffer.from('{"delivery":{"id":"last"}}'),
      ]),
    )
    const { code, document } = await place.json('publish t mixed.ndjson --id delivery.id --max-data-bytes 1000')
    expect(code).toBe(1)
    expect(document).toMatchObject({ read: 9, accepted: 2, duplicate: 0, rejected: 7 })
    expect(document.rejectedLines.map((each: { line: number }) => each.line)).toEqual([2, 4, 5, 6, 7, 8, 9])
    expect(document.rejectedLines).toEqual([
      { line: 2, code: 'MESSAGE_INVALID', reason: expect.stringContaining('not JSON') },
      { line: 4, code: 'MESSAGE_INVALID', reason: expect.stringContaining('nothing at delivery.id') },
      { line: 5, code: 'MESSAGE_INVALID', reason: expect.stringContaining('is null') },
      { line: 6, code: 'MESSAGE_INVALID', reason: expect.stringContaining('too large to be exact') },
      { line: 7, code: 'MESSAGE_INVALID', reason: expect.stringContaining('not UTF-8') },
      { line: 8, code: 'MESSAGE_TOO_LARGE', reason: expect.stringContaining('1000') },
      { line: 9, code: expect.stringMatching(/MESSAGE_INVALID|MESSAGE_TOO_LARGE/), reason: expect.any(String) },
    ])
  })

  test('of thousands of bad lines a hundred are listed, all are counted', async () => {
    const place = new Place()
    const input = 'bad\n'.repeat(2500)
    const { document } = await place.json('publish t', { input })
    expect(document).toMatchObject({ read: 2500, rejected: 2500 })
    expect(document.rejectedLines).toHaveLength(100)
    const { stderr } = await place.onefold('publish t', { input })
    expect(stderr.split('\n').filter((line) => line.startsWith('line '))).toHaveLength(100)
    expect(stderr).toContain('and 2,400 more lines rejected')
  })

  test('a line of 40 MB is rejected by its bound, and its neighbours are intact', async () => {
    const place = new Place()
    place.write('long.ndjson', Buffer.concat([Buffer.from('1\n"'), Buffer.alloc(40_000_000, 0x78), Buffer.from('"\n3\n')]))
    const { document } = await place.json('publish t long.ndjson')
    expect(document).toMatchObject({ read: 3, accepted: 2, rejected: 1 })
    expect(document.rejectedLines).toMatchObject([{ line: 2, code: 'MESSAGE_TOO_LARGE' }])
  })

  test('many lines arrive in the order of the file, in bounded batches', async () => {
    const place = new Place()
    const input = Array.from({ length: 5000 }, (_, index) => `{"n":${index},"k":"same"}\n`).join('')
    expect((await place.json('publish t - --key k', { input })).document).toMatchObject({ read: 5000, accepted: 5000 })
    const { stdout } = await place.onefold('consume t --group g --until-idle')
    const numbers = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).data.n as number)
    expect(numbers).toEqual(Array.from({ length: 5000 }, (_, index) => index))
  })

  test('a trickle on stdin is published at once, not when a batch is full', async () => {
    const place = new Place()
    const publish = place.start('publish t --id id --db t.db')
    publish.child.stdin?.write('{"id":"a"}\n')
    const consume = place.start('consume t --group g --db t.db')
    await consume.until(() => consume.stdout.includes('"id":"a"'), 'the first message, while the publisher waits for more input')
    publish.child.stdin?.end('{"id":"b"}\n')
    expect((await publish.ended).stdout).toContain('2 accepted')
    await consume.until(() => consume.stdout.includes('"id":"b"'), 'the second message')
  })

  test('a file that cannot be read is named, and no database is made', async () => {
    const place = new Place()
    expect(await place.onefold('publish t missing.ndjson')).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringContaining('cannot read missing.ndjson: there is no such file'),
    })
    expect(await place.onefold('publish t .')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('cannot read .: it is a directory'),
    })
    expect(place.has('onefold.db')).toBe(false)
  })

  test('a topic name that cannot be is refused as such', async () => {
    expect(await new Place().onefold(['publish', 'no spaces'], { input: '1\n' })).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/topic name is "no spaces".*\n.*OPTION_INVALID/),
    })
  })

  test('a database that cannot be opened fails as a whole, with what was counted', async () => {
    const place = new Place()
    place.write('bad.db', 'this is no database at all, whatever its name says\n'.repeat(100))
    const { code, document } = await place.json('publish t --db bad.db', { input: '1\n2\n' })
    expect(code).toBe(1)
    expect(document).toMatchObject({
      read: 2,
      accepted: 0,
      rejected: 0,
      error: { code: 'DATABASE_CORRUPT', message: expect.stringContaining('bad.db') },
    })
  })

  test('SIGINT: what was read is published and reported, exit code 130', async () => {
    const place = new Place()
    const publish = place.start('publish t --json')
    publish.child.stdin?.write('{"id":"a"}\n')
    await publish.until(() => place.has('onefold.db'), 'the database')
    publish.child.kill('SIGINT')
    const { code, stdout, stderr } = await publish.ended
    expect(code).toBe(130)
    expect(JSON.parse(stdout)).toMatchObject({ read: 1, accepted: 1, interrupted: true })
    expect(stderr).toContain('stopping')
  })

  test('ONEFOLD_DB names the database, and --db goes before it', async () => {
    const place = new Place()
    await place.onefold('publish t', { input: '1\n', env: { ONEFOLD_DB: 'from-env.db' } })
    await place.onefold('publish t --db given.db', { input: '1\n', env: { ONEFOLD_DB: 'from-env-2.db' } })
    expect(['from-env.db', 'given.db', 'from-env-2.db', 'onefold.db'].map((name) => place.has(name))).toEqual([
      true,
      true,
      false,
      false,
    ])
  })

  test('a reader that leaves does not hide that a line was rejected', async () => {
    const place = new Place()
    const line = "set -o pipefail; printf 'bad\\n1\\n' | onefold publish t 2> errors | true; echo code $?"
    const { stdout } = await place.shell(line).ended
    expect(stdout).toBe('code 1\n')
  })

  test('--source is part of the identity', async () => {
    const place = new Place()
    const input = '{"id":"a"}\n'
    for (const source of ['shop', 'mail']) {
      expect((await place.json(`publish t --id id --source ${source}`, { input })).document).toMatchObject({ accepted: 1 })
    }
    expect((await place.json('publish t --id id --source shop', { input })).document).toMatchObject({ duplicate: 1 })
  })
})
