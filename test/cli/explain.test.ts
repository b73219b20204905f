import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { Place } from './run-onefold.ts'

const path = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url))
const demo = path('demo/app.ts')

/** An app module as a user would write it; `calls` and `sqlite` are put in as code. */
function appModule({ calls = '{}', sqlite = '{}', end = 'export default app' } = {}): string {
  return `
    import { call, onefold, topic } from ${JSON.stringify(path('src/index.ts'))}
    import { sqlite } from ${JSON.stringify(path('src/database/sqlite/index.ts'))}
    interface Order { readonly id: string }
    const orders = topic<Order>('orders', { id: (order) => order.id, key: (order) => order.id })
    export const app = onefold({ source: 'shop', database: sqlite('shop.db', ${sqlite}) })
    app.consume(orders, { group: 'receipt', calls: ${calls}, apply(): void {} })
    ${end}
  `
}

const mailByPerson = "{ mail: call(async () => 'sent', { whenUnknown: 'ask-person' }) }"
const mailRepeated = "{ mail: call(async () => 'sent') }"

describe.concurrent('onefold explain MODULE', () => {
  test('of the demo: says for each consumer semantics, order, window, durability and calls; makes no file', async () => {
    const place = new Place()
    const { code, stderr, document } = await place.json(`explain ${demo}`)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(document.consumers.map(({ topic, group }: { topic: string; group: string }) => `${topic}/${group}`)).toEqual([
      'summaries/board',
      'webhooks/totals',
    ])
    for (const consumer of document.consumers) {
      expect(consumer).toMatchObject({
        semantics: 'effectively-once',
        order: { kind: 'key', says: expect.any(String) },
        window: { recognisedBy: 'log', ms: 7 * 86_400_000, maxIds: 10_000_000 },
        durability: { onDisk: true },
        calls: [],
      })
    }
    expect(place.has('app.db')).toBe(false)
  })

  test('as text for people, without words nobody can keep; the same twice', async () => {
    const place = new Place()
    const [first, second] = await Promise.all([place.onefold(`explain ${demo}`), place.onefold(`explain ${demo}`)])
    expect(first).toMatchObject({ code: 0, stderr: '' })
    expect(first.stdout).toContain('Group webhooks / totals: effectively-once')
    expect(first.stdout).toContain('at most one transaction containing apply commits')
    expect(first.stdout).not.toMatch(/exactly.once|guaranteed delivery/i)
    for (const line of first.stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(110)
    expect(second.stdout).toBe(first.stdout)
    const documents = await Promise.all([place.json(`explain ${demo}`), place.json(`explain ${demo}`)])
    expect(documents[1].stdout).toBe(documents[0].stdout)
  })

  test('names the rule of each call, and the line that weakens it', async () => {
    const place = new Place()
    place.write('app.ts', appModule({ calls: mailRepeated }))
    const { document } = await place.json('explain app.ts')
    expect(document.consumers[0].calls).toEqual([expect.objectContaining({ name: 'mail', rule: 'repeat' })])
    const { stdout } = await place.onefold('explain app.ts')
    expect(stdout).toContain('Call mail: repeat')
    expect(stdout).toContain("weakened by    whenUnknown: repeat in consume('orders', 'receipt').calls.mail")
  })

  test('shows what start() will refuse, and does not fail for it', async () => {
    const place = new Place()
    place.write('app.ts', appModule({ sqlite: "{ synchronous: 'NORMAL' }" }))
    const { code, stdout } = await place.onefold('explain app.ts')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^start\(\) will refuse: group receipt of topic orders asks for effectively-once/)
  })

  test('a snapshot holds until the rule of a call changes; then the check fails, says what changed and how to accept it', async () => {
    const place = new Place()
    place.write('app.ts', appModule({ calls: mailByPerson }))
    expect(await place.onefold('explain app.ts --write guarantee.json')).toMatchObject({ code: 0, stderr: '' })
    const check = 'explain app.ts --check guarantee.json'
    expect(await place.onefold(check)).toMatchObject({ code: 0, stdout: 'The guarantee is what guarantee.json says.\n' })
    expect((await place.json(check)).document).toEqual({ same: true, differences: [] })

    place.write('app.ts', appModule({ calls: mailRepeated }))
    const { code, stdout, stderr } = await place.onefold(check)
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' })
    expect(stdout).toContain('consumers[orders/receipt].calls[mail].rule: "ask-person" → "repeat"')
    expect(stdout).toContain("weakenedBy[whenUnknown in consume('orders', 'receipt').calls.mail]: absent → ")
    expect(stdout).toMatch(/Accept it: onefold explain app\.ts --write guarantee\.json\n$/)
    const failed = await place.json(check)
    expect(failed.code).toBe(1)
    expect(failed.document).toMatchObject({ same: false, accept: 'onefold explain app.ts --write guarantee.json' })

    await place.onefold('explain app.ts --write guarantee.json')
    expect(await place.onefold(check)).toMatchObject({ code: 0 })
  })

  test('a snapshot is the same from whatever folder it is made, and holds no path, version or time', async () => {
    const [here, there] = [new Place(), new Place()]
    for (const place of [here, there]) {
      place.write('app.ts', appModule({ calls: mailByPerson }))
      await place.onefold('explain app.ts --write guarantee.json')
    }
    const text = readFileSync(here.path('guarantee.json'), 'utf8')
    expect(readFileSync(there.path('guarantee.json'), 'utf8')).toBe(text)
    expect(text).not.toContain(here.folder)
    expect(text).not.toMatch(/"version"|\d{4}-\d{2}-\d{2}|shop\.db/)
  })

  test.each([
    ['a module that is not there', undefined, 'NOT_FOUND', 'there is no module at app.ts'],
    ['no default export', appModule({ end: '' }), 'OPTION_INVALID', 'it has no default export. Write `export default app`'],
    ['a function', 'export default () => 1', 'OPTION_INVALID', 'its default export is a function'],
    ['another object', 'export default { explain: 1 }', 'OPTION_INVALID', 'its default export is another object'],
    [
      'a module that throws',
      "throw new RangeError('no such key')",
      'OPTION_INVALID',
      'threw while it was loaded: RangeError: no such key (at ',
    ],
    ['a module that is no code', 'const = 1', 'OPTION_INVALID', 'threw while it was loaded: SyntaxError'],
    ['an import that is not there', "import './gone.ts'", 'OPTION_INVALID', 'Cannot find module'],
    ['options that are wrong', appModule({ sqlite: '{ cacheMiB: 0 }' }), 'OPTION_INVALID', 'cacheMiB is 0'],
  ])('%s: a typed error that says what to do', async (_name, source, code, message) => {
    const place = new Place()
    if (source !== undefined) place.write('app.ts', source)
    const ended = await place.json('explain app.ts')
    expect({ code: ended.code, stderr: ended.stderr }).toEqual({ code: 1, stderr: '' })
    expect(ended.document.error).toMatchObject({ code, outcome: 'not-applied', details: { file: 'app.ts' } })
    expect(ended.document.error.message).toContain(message)
  })

  test('an option that Onefold refuses is shown where the module states it, not where Onefold throws', async () => {
    const place = new Place()
    place.write('app.ts', appModule({ sqlite: '{ cacheMiB: 0 }' }))
    const { document } = await place.json('explain app.ts')
    expect(document.error.message).toMatch(/cacheMiB is 0.* \(at file:.*\/app\.ts:\d+:\d+\)/)
  })

  test.each([
    ['that is not there', undefined, 'NOT_FOUND', 'there is no snapshot at guarantee.json'],
    ['that is no JSON', 'consumers:', 'NOT_POSSIBLE', 'guarantee.json is no snapshot'],
  ])('a snapshot %s: a typed error that names the command to make one', async (_name, content, code, message) => {
    const place = new Place()
    place.write('app.ts', appModule())
    if (content !== undefined) place.write('guarantee.json', content)
    const { document } = await place.json('explain app.ts --check guarantee.json')
    expect(document.error.code).toBe(code)
    expect(document.error.message).toContain(message)
    expect(document.error.message).toContain('onefold explain app.ts --write guarantee.json')
  })

  test('a snapshot that cannot be written: a typed error', async () => {
    const place = new Place()
    place.write('app.ts', appModule())
    const { code, document } = await place.json('explain app.ts --write no/such/folder.json')
    expect(code).toBe(1)
    expect(document.error).toMatchObject({ code: 'NOT_POSSIBLE', details: { file: 'no/such/folder.json' } })
  })

  test('a module that has started its app: explained, and the process ends', async () => {
    const place = new Place()
    place.write('app.ts', appModule({ end: 'await app.start()\nexport default app' }))
    expect(await place.onefold('explain app.ts')).toMatchObject({ code: 0, stderr: '' })
  })
})

describe('docs/guarantee.md', () => {
  test('shows what onefold explain really prints', async () => {
    const page = readFileSync(path('docs/guarantee.md'), 'utf8')
    const place = new Place()
    const [, source] = /```ts\n(import [\s\S]*?)```/.exec(page) ?? []
    const [, shown] = /```text\n\$ onefold explain app\.ts\n([\s\S]*?)```/.exec(page) ?? []
    place.write(
      'app.ts',
      (source ?? '')
        .replace("'onefold'", JSON.stringify(path('src/index.ts')))
        .replace("'onefold/sqlite'", JSON.stringify(path('src/database/sqlite/index.ts'))),
    )
    const { stdout, stderr } = await place.onefold('explain app.ts')
    expect(stderr).toBe('')
    expect(stdout.trimEnd()).toBe(shown?.trimEnd())
  })
})

describe.concurrent('onefold explain without MODULE', () => {
  test('says what the file can tell, and what it cannot know', async () => {
    const place = new Place()
    await place.onefold('publish orders --db shop.db', { input: '{"id":1}\n' })
    await place.onefold('consume orders --group mirror --from earliest --exec true --until-idle --db shop.db')
    const { code, stdout } = await place.onefold('explain --db shop.db')
    expect(code).toBe(0)
    expect(stdout).toMatch(/^What shop\.db alone can tell\n/)
    expect(stdout).toMatch(/orders +mirror +at-least-once/)
    expect(stdout).toContain('Only the program knows')
    const { document } = await place.json('explain --db shop.db')
    expect(document).toMatchObject({
      file: 'shop.db',
      topics: [{ name: 'orders', idReuse: 'error', partitions: 8 }],
      groups: [{ topic: 'orders', group: 'mirror', semantics: 'at-least-once' }],
    })
    expect(document.onlyTheProgramKnows.length).toBeGreaterThan(3)
  })
})
