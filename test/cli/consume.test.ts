import { readFileSync } from 'node:fs'
import { CloudEvent } from 'cloudevents'
import { describe, expect, test } from 'vitest'
import type { Json } from './run-onefold.ts'
import { Place, until } from './run-onefold.ts'

function events(stdout: string): Json[] {
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
}

async function placeWith(count: number, topic = 't'): Promise<Place> {
  const place = new Place()
  place.lines(
    'in.ndjson',
    Array.from({ length: count }, (_, index) => ({ id: `m-${index}`, key: `k-${index % 4}`, n: index })),
  )
  const { code } = await place.onefold(`publish ${topic} in.ndjson --id id --key key --type t.made --source shop`)
  expect(code).toBe(0)
  return place
}

describe.concurrent('onefold consume, printing', () => {
  test('each message is a CloudEvents line that the public implementation accepts; a second run has nothing to print', async () => {
    const place = await placeWith(20)
    const first = await place.onefold('consume t --group g --until-idle')
    expect(first).toMatchObject({ code: 0, stderr: '' })
    const printed = events(first.stdout)
    expect(printed).toHaveLength(20)
    for (const event of printed) expect(() => new CloudEvent(event)).not.toThrow()
    expect(printed.find((event) => event.id === 'm-7')).toEqual({
      specversion: '1.0',
      id: 'm-7',
      source: 'shop',
      type: 't.made',
      time: expect.stringMatching(/^20\d\d-.*Z$/),
      datacontenttype: 'application/json',
      partitionkey: 'k-3',
      data: { id: 'm-7', key: 'k-3', n: 7 },
    })
    expect(await place.onefold('consume t --group g --until-idle')).toMatchObject({ code: 0, stdout: '' })
    expect(events((await place.onefold('consume t --group other --until-idle')).stdout)).toHaveLength(20)
  })

  test('a reader that leaves (| head -1) is no error, and what it did not get is not acknowledged', async () => {
    const place = await placeWith(2000)
    const line = 'onefold consume t --group g --until-idle | head -1; echo "code $PIPESTATUS"'
    const { stdout, stderr } = await place.shell(line).ended
    expect(stderr).toBe('')
    expect(stdout).toMatch(/"id":"m-\d+".*\ncode 0\n$/)
    const { document } = await place.json('status')
    const { applied, lag, attention } = document.groups[0]
    expect(attention).toBe(0)
    expect(applied + lag).toBe(2000)
    expect(lag).toBeGreaterThan(0)
    const rest = await place.onefold('consume t --group g --until-idle')
    expect(events(rest.stdout)).toHaveLength(lag)
  })

  test('a full disk under stdout is an error, and what was not written is not acknowledged', async () => {
    const place = await placeWith(5)
    const { stdout, stderr } = await place.shell('onefold consume t --group g --until-idle > /dev/full; echo "code $?"').ended
    expect(stdout).toBe('code 1\n')
    expect(stderr).toMatch(/^onefold: stdout cannot be written: .*ENOSPC/)
    expect(events((await place.onefold('consume t --group g --until-idle')).stdout)).toHaveLength(5)
  })

  test('a slow reader holds it back: what it has not taken is not acknowledged', async () => {
    const place = new Place()
    const line = `{"pad":"${'x'.repeat(2000)}"}\n`
    await place.onefold('publish t', { input: line.repeat(500) })
    const consume = place.start('consume t --group g')
    consume.child.stdout?.pause()
    await until(
      async () => (await place.json('status')).document.owners.length > 0,
      () => 'an owner in status',
    )
    let lag = -1
    await until(
      async () => {
        const before = lag
        lag = (await place.json('status')).document.groups[0].lag
        return lag === before
      },
      () => 'a lag that stands still',
    )
    expect(lag).toBeGreaterThan(300)
    consume.child.stdout?.resume()
    await consume.until(() => consume.stdout.split('\n').length === 501, 'all lines once the reader goes on')
  })

  test('--from latest: a new group starts after what is there, and then gets what comes', async () => {
    const place = await placeWith(5)
    const consume = place.start('consume t --group late --from latest')
    await until(
      async () => (await place.json('group list')).document.groups.length === 1,
      () => 'the group',
    )
    await place.onefold('publish t --id id --key key', { input: '{"id":"new","key":"k"}\n' })
    await consume.until(() => consume.stdout.includes('\n'), 'the new message')
    expect(events(consume.stdout).map((event) => event.id)).toEqual(['new'])
    consume.child.kill('SIGTERM')
    expect(await consume.ended).toMatchObject({ code: 0 })
  })
})

describe.concurrent('onefold consume --exec', () => {
  test('the command gets the event on stdin and its circumstances in the environment', async () => {
    const place = await placeWith(1)
    const exec = 'cat > event.json; echo "$ONEFOLD_TOPIC $ONEFOLD_GROUP $ONEFOLD_ATTEMPT $ONEFOLD_ID $ONEFOLD_TOKEN"'
    const { code, stdout, stderr } = await place.onefold(['consume', 't', '--group', 'g', '--until-idle', '--exec', exec])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^t g 1 m-0 \S+\n$/)
    expect(stderr).toBe('t/g: 1 applied\n')
    expect(() => new CloudEvent(JSON.parse(readFileSync(place.path('event.json'), 'utf8')))).not.toThrow()
  })

  test('a failed attempt is made again with the same token', async () => {
    const place = await placeWith(1)
    const exec = 'echo "$ONEFOLD_ATTEMPT $ONEFOLD_TOKEN" >> attempts; test "$ONEFOLD_ATTEMPT" -ge 2'
    const words = ['consume', 't', '--group', 'g', '--until-idle', '--exec', exec]
    const { code, document } = await place.json(words)
    expect(code).toBe(0)
    expect(document).toEqual({
      topic: 't',
      group: 'g',
      semantics: 'at-least-once',
      applied: 1,
      failedAttempts: 1,
      attention: 0,
      idle: true,
    })
    const attempts = readFileSync(place.path('attempts'), 'utf8').trim().split('\n')
    const [, token] = (attempts[0] ?? '').split(' ')
    expect(token).toBeTruthy()
    expect(attempts).toEqual([`1 ${token}`, `2 ${token}`])
  })

  test('after the last attempt the message waits for a person, with the end of its stderr; exit code 1', async () => {
    const place = await placeWith(8)
    const exec =
      'if [ "$ONEFOLD_ID" = m-0 ]; then head -c 5000 /dev/zero | tr "\\0" x >&2; echo "no such customer: ä" >&2; exit 7; fi'
    const words = ['consume', 't', '--group', 'g', '--until-idle', '--max-attempts', '2', '--exec', exec]
    const { code, document } = await place.json(words)
    expect(code).toBe(1)
    expect(document).toMatchObject({ applied: 6, failedAttempts: 2, attention: 1, idle: true })
    const { items } = (await place.json('attention list')).document
    expect(items).toHaveLength(1)
    expect(items[0]).toMatchObject({
      topic: 't',
      group: 'g',
      message: { id: 'm-0', key: 'k-0' },
      attempts: 2,
      behind: 1,
      state: 'open',
    })
    expect(items[0].error.message).toMatch(/exit code 7: x+no such customer: ä$/)
    expect(items[0].error.message.length).toBeLessThan(2200)
  })

  test('a command ended by a signal is a failed attempt', async () => {
    const place = await placeWith(1)
    await place.onefold(['consume', 't', '--group', 'g', '--until-idle', '--max-attempts', '1', '--exec', 'kill -9 $$'])
    expect((await place.json('attention')).document.items[0].error.message).toContain('the command was ended by SIGKILL')
  })

  test('a command that runs too long is killed with all it has started', async () => {
    const place = await placeWith(1)
    const exec = 'echo began >&2; sleep 300 & echo $! > child; wait'
    const begun = performance.now()
    const words = ['consume', 't', '--group', 'g', '--until-idle', '--max-attempts', '1', '--timeout-ms', '300', '--exec', exec]
    expect((await place.onefold(words)).code).toBe(1)
    expect(performance.now() - begun).toBeLessThan(5000)
    const child = readFileSync(place.path('child'), 'utf8').trim()
    await until(
      () => !isRunning(child),
      () => `process ${child} still runs`,
    )
    const [item] = (await place.json('attention')).document.items
    expect(item).toMatchObject({ attempts: 1, error: { message: 'the command ran longer than 300 ms and was killed: began' } })
  })

  test('a command that does not read its input, however large, is not harmed', async () => {
    const place = new Place()
    await place.onefold('publish t', { input: `"${'x'.repeat(900_000)}"\n` })
    expect(await place.onefold('consume t --group g --until-idle --exec true')).toMatchObject({
      code: 0,
      stderr: 't/g: 1 applied\n',
    })
  })

  test('what a command leaves in the background does not hold up the next message', async () => {
    const place = await placeWith(2)
    const begun = performance.now()
    const words = ['consume', 't', '--group', 'g', '--until-idle', '--exec', 'sleep 20 > /dev/null & echo $! >> children']
    expect(await place.onefold(words)).toMatchObject({ code: 0 })
    expect(performance.now() - begun).toBeLessThan(5000)
    for (const pid of readFileSync(place.path('children'), 'utf8').trim().split('\n')) process.kill(Number(pid))
  })

  test('with --json stdout is the document alone, what the command prints goes to stderr', async () => {
    const place = await placeWith(1)
    const { document, stderr } = await place.json([
      'consume',
      't',
      '--group',
      'g',
      '--until-idle',
      '--exec',
      'echo loud; echo louder >&2',
    ])
    expect(document).toMatchObject({ applied: 1 })
    expect(stderr.split('\n').toSorted()).toEqual(['', 'loud', 'louder'])
  })

  test('--concurrency runs several at once, never two of one key', async () => {
    const place = await placeWith(12)
    const exec = 'echo "+ $(cat | sed "s/.*partitionkey.:.//; s/\\".*//")" >> trace; sleep 0.1; echo "- $ONEFOLD_ID" >> trace'
    const words = ['consume', 't', '--group', 'g', '--until-idle', '--concurrency', '4', '--exec', exec]
    expect((await place.json(words)).document).toMatchObject({ applied: 12 })
    let open = 0
    let most = 0
    const running = new Map<string, number>()
    for (const entry of readFileSync(place.path('trace'), 'utf8').trim().split('\n')) {
      const [sign, what = ''] = entry.split(' ')
      const key = sign === '+' ? what : `k-${Number(what.slice(2)) % 4}`
      open += sign === '+' ? 1 : -1
      running.set(key, (running.get(key) ?? 0) + (sign === '+' ? 1 : -1))
      expect(running.get(key)).toBeLessThanOrEqual(1)
      most = Math.max(most, open)
    }
    expect(most).toBeGreaterThan(1)
  })

  test('SIGTERM: what has begun is finished and acknowledged, the rest is left; exit code 0', async () => {
    const place = await placeWith(40)
    const exec = 'echo "$ONEFOLD_ID" >> begun; sleep 0.3; echo "$ONEFOLD_ID" >> done'
    const consume = place.start(['consume', 't', '--group', 'g', '--exec', exec])
    await consume.until(() => place.has('begun'), 'the first command')
    consume.child.kill('SIGTERM')
    const { code, stderr } = await consume.ended
    expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringMatching(/stopping.*\n.*applied/) })
    const lines = (name: string) => readFileSync(place.path(name), 'utf8').trim().split('\n')
    const done = lines('done')
    expect(done).toEqual(lines('begun'))
    const { document } = await place.json('status')
    expect(document.groups[0]).toMatchObject({ applied: done.length, lag: 40 - done.length, parked: 0, attention: 0 })
    expect(document.owners.filter((owner: Json) => owner.leases > 0)).toEqual([])
  })

  test('SIGTERM with another process beside it: what is being finished is not handed to the other', async () => {
    const place = await placeWith(8)
    const words = ['consume', 't', '--group', 'g', '--lease-ms', '400', '--exec']
    const first = place.start([...words, 'echo "$ONEFOLD_ID" >> begun; sleep 1.2'])
    await first.until(() => place.has('begun'), 'the first command')
    const second = place.start([...words, 'echo "$ONEFOLD_ID" >> begun'])
    await until(
      async () => (await place.json('status')).document.owners.length === 2,
      () => 'both processes in status',
    )
    first.child.kill('SIGTERM')
    expect(await first.ended).toMatchObject({ code: 0 })
    const begun = () => readFileSync(place.path('begun'), 'utf8').trim().split('\n').toSorted()
    await second.until(() => begun().length >= 8, 'the rest')
    expect(begun()).toEqual(Array.from({ length: 8 }, (_, index) => `m-${index}`))
    second.child.kill('SIGTERM')
    expect(await second.ended).toMatchObject({ code: 0 })
  })

  test('kill -9 while the command runs: another process takes over at once, with the same token', async () => {
    const place = await placeWith(1)
    const first = place.start(['consume', 't', '--group', 'g', '--exec', 'echo "$ONEFOLD_TOKEN" >> tokens; exec sleep 5'])
    await first.until(() => place.has('tokens'), 'the command')
    first.child.kill('SIGKILL')
    const begun = performance.now()
    const second = await place.json(['consume', 't', '--group', 'g', '--until-idle', '--exec', 'echo "$ONEFOLD_TOKEN" >> tokens'])
    expect(second.document).toMatchObject({ applied: 1 })
    expect(performance.now() - begun).toBeLessThan(4000)
    const [before, after] = readFileSync(place.path('tokens'), 'utf8').trim().split('\n')
    expect(after).toBe(before)
  })

  test('a second signal ends it at once, and the command with it; the message comes again', async () => {
    const place = await placeWith(1)
    const consume = place.start(['consume', 't', '--group', 'g', '--exec', 'echo $$ > pid; exec sleep 300'])
    await consume.until(() => place.has('pid') && readFileSync(place.path('pid'), 'utf8') !== '', 'the command')
    consume.child.kill('SIGINT')
    await consume.until(() => consume.stderr.includes('once more'), 'the answer to the first signal')
    consume.child.kill('SIGINT')
    expect(await consume.ended).toMatchObject({ signal: 'SIGINT' })
    const pid = readFileSync(place.path('pid'), 'utf8').trim()
    await until(
      () => !isRunning(pid),
      () => `process ${pid} still runs`,
    )
    expect((await place.json(['consume', 't', '--group', 'g', '--until-idle', '--exec', 'true'])).document).toMatchObject({
      applied: 1,
    })
  })
})

function isRunning(pid: string): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return !/\) [ZX] /.test(stat)
  } catch {
    return false
  }
}
