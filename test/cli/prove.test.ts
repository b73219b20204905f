import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { Place, until } from './run-onefold.ts'

const path = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url))

interface Parts {
  /** What the handler does besides booking. */
  readonly also?: string
  readonly exports?: string
  readonly setup?: string
  readonly workload?: string
  readonly app?: string
}

/** A module as a user would write it: payments are booked, and told to a list that is no part of the transaction. */
function moduleText({
  also = '',
  exports = '',
  setup = "export const setup = (db) => db.exec('create table account (id text primary key, balance integer not null) strict')",
  workload = `export const workload = [
  { topic: payments, data: { id: 'p1', account: 'a', amount: 5 } },
  { topic: payments, data: { id: 'p2', account: 'a', amount: 7 } },
]`,
  app = 'export default makeApp',
}: Parts = {}): string {
  return `import { onefold, topic } from ${JSON.stringify(path('src/index.ts'))}
import { sqlite } from ${JSON.stringify(path('src/database/sqlite/index.ts'))}
const payments = topic('payments', { id: (p) => p.id, key: (p) => p.account })
const told = []
function makeApp() {
  const app = onefold({ database: sqlite('shop.db') })
  app.consume(payments, 'ledger', async (p, { tx }) => {
    tx.run('insert into account values (?, ?) on conflict do update set balance = balance + excluded.balance', p.account, p.amount)
    ${also}
  })
  return app
}
${app}
${workload}
${setup}
${exports}
`
}

/** Wrong: whoever repeats the message tells it again. */
const wrong = moduleText({
  also: 'told.push(p.id)',
  exports: `export const reset = () => { told.length = 0 }
export const invariants = { 'nothing is told twice': () => new Set(told).size === told.length || 'told: ' + told.join(' ') }`,
})
/** Where moduleText declares the consumer, and where the handler writes. */
const places = ['app.ts:7', 'app.ts:8']

function placed(content: string): Place {
  const place = new Place()
  place.write('app.ts', content)
  return place
}

describe('onefold prove MODULE', () => {
  test('a handler that does everything in its transaction: a certificate with its bounds, exit code 0, nothing opened', async () => {
    const place = placed(moduleText())
    const { code, stdout, stderr } = await place.onefold('prove app.ts --budget 2s --seed 7')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^No violation in \d[\d,]* schedules: (all placements of ≤ \d faults?|the schedule without faults)/)
    expect(stdout).toMatch(/publish to payments · killed (before|after) COMMIT/)
    expect(stdout).toMatch(/^Not simulated:$/m)
    expect(stdout).not.toContain('BUT')
    expect(place.has('shop.db')).toBe(false)
  })

  test('a handler with an effect outside its transaction: exit code 1, and a story that names its lines', async () => {
    const { code, stdout, stderr } = await placed(wrong).onefold('prove app.ts')
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' })
    expect(stdout).toMatch(/^Violated: nothing is told twice\ntold: p1/)
    expect(stdout).toContain('It takes one fault:')
    for (const place of places) expect(stdout).toContain(`(${place})`)
    expect(stdout).toMatch(/Replay it with: --replay '\d+:\d+'/)
  })

  test('the vector of a violation, replayed, is the same violation; the empty one is the schedule without faults', async () => {
    const place = placed(wrong)
    const { document: found } = await place.json('prove app.ts')
    expect(found.failure.vector).toMatch(/^\d+:\d+$/)
    const { code, document: again } = await place.json(['prove', 'app.ts', '--replay', found.failure.vector])
    expect(code).toBe(1)
    const { rule, what, faults, story, vector } = again.failure
    expect({ rule, what, faults, story, vector }).toEqual({
      rule: 'nothing is told twice',
      what: found.failure.what,
      faults: found.failure.faults,
      story: found.failure.story,
      vector: found.failure.vector,
    })
    const plain = await place.onefold(['prove', 'app.ts', '--replay', ''])
    expect(plain.code).toBe(0)
    expect(plain.stdout).toContain('No violation in the one schedule that was run: nothing goes wrong in it.')
  })

  test('a vector made for other code: says that it is not the schedule that was run', async () => {
    const { code, stdout } = await placed(moduleText()).onefold('prove app.ts --replay 4:1,900000:1')
    expect(code).toBe(0)
    expect(stdout).toContain("BUT: that is not '4:1,900000:1'")
  })

  test('a group that applies nothing even without any fault: a violation that says why, and the remedy', async () => {
    const { code, stdout } = await placed(moduleText({ setup: '' })).onefold('prove app.ts')
    expect(code).toBe(1)
    expect(stdout).toContain('Violated: something is applied')
    expect(stdout).toContain('group ledger of topic payments applies nothing')
    expect(stdout).toContain('payments/ledger p1: Error: no such table: account (app.ts:8)')
    expect(stdout).toContain('make them in `setup`')
  })

  test('a message that ends with a person without any fault: the certificate begins with that', async () => {
    const place = placed(
      moduleText({
        also: "if (p.id === 'p1') throw new Error('account closed')",
        workload: `export const workload = [
  { topic: payments, data: { id: 'p1', account: 'a', amount: 5 } },
  { topic: payments, data: { id: 'p2', account: 'a', amount: 7 } },
  { topic: payments, data: { id: 'p3', account: 'b', amount: 7 } },
]`,
      }),
    )
    const { code, stdout } = await place.onefold('prove app.ts --budget 200ms --deviations 0')
    expect(code).toBe(0)
    const [, , but, first] = stdout.split('\n')
    expect(but).toBe('BUT: without any fault, one message ends with a person, and 1 more waits behind. The first is')
    expect(first).toBe('  payments/ledger p1: Error: account closed (app.ts:9)')
    const { document } = await place.json('prove app.ts --budget 200ms --deviations 0')
    expect(document.certificate.withoutFaults).toMatchObject({ attention: 1, behind: 1, first: first?.trim() })
  })

  test('the app itself as default export: it is proved, and the certificate says what is not simulated then', async () => {
    const place = placed(moduleText({ app: 'export default makeApp()' }))
    const { code, stdout } = await place.onefold('prove app.ts --budget 200ms')
    expect(code).toBe(0)
    expect(stdout).toContain('memory that dies with a process')
  })

  test('--json: one document and nothing else, whatever the handlers print', async () => {
    const correct = placed(moduleText({ also: "console.log('booked'); console.error('booked')" }))
    const certified = await correct.json('prove app.ts --budget 200ms')
    expect(certified).toMatchObject({ code: 0, stderr: '' })
    expect(Object.keys(certified.document)).toEqual(['ok', 'certificate'])
    expect(certified.document).toMatchObject({ ok: true, certificate: { seed: 1, workers: 2, text: expect.any(String) } })
    const mistaken = placed(wrong.replace('told.push(p.id)', "told.push(p.id); console.log('tells %s', p.id)"))
    const failed = await mistaken.json('prove app.ts')
    expect(failed.code).toBe(1)
    expect(Object.keys(failed.document)).toEqual(['ok', 'failure'])
    expect(failed.document).toMatchObject({ ok: false, failure: { rule: 'nothing is told twice', faults: [expect.any(String)] } })
    expect(failed.stderr).toMatch(/^(tells p[12]\n){3,4}$/)
  })

  test('SIGINT: the certificate is of what was tried until then, exit code 130', async () => {
    const place = placed(
      moduleText({
        exports: `import { writeFileSync } from 'node:fs'
let times = 0
export const reset = () => { if (++times === 20) writeFileSync('begun', '') }`,
      }),
    )
    const running = place.start('prove app.ts --budget 1m')
    await until(
      () => place.has('begun'),
      () => `a twentieth schedule\n${running.stderr}`,
    )
    running.child.kill('SIGINT')
    const { code, stdout, stderr } = await running.ended
    expect(code).toBe(130)
    expect(stdout).toMatch(/^No violation in \d+ schedules: /)
    expect(stderr).toContain('onefold: stopping')
  })
})

describe.concurrent('what cannot be proved', () => {
  test.each([
    ['prove', 'prove needs a MODULE'],
    ['prove app.ts b.ts', 'prove takes one MODULE, but got "b.ts" as well'],
    ['prove app.ts --db x.db', '--db does not go with prove'],
    ['prove app.ts --budget 10', '--budget is "10"; it must be a time from 100ms to 24h: 500ms, 10s, 2m'],
    ['prove app.ts --budget 2ms', '--budget is "2ms"'],
    ['prove app.ts --budget 25h', '--budget is "25h"'],
    ['prove app.ts --deviations 5', '--deviations is "5"; it must be a whole number from 0 to 4'],
    ['prove app.ts --seed x', '--seed is "x"'],
    ['prove app.ts --replay 3-1', '--replay is "3-1"; it must be a vector as a violation prints it'],
    ['prove app.ts --replay 3:1 --seed 2', '--seed goes without --replay'],
  ])('%j is refused with exit code 2, naming what is wrong', async (words, message) => {
    const { code, stdout, stderr } = await placed(moduleText()).onefold(words)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(`onefold: ${message}`)
  })

  test('a module without workload: a typed error that shows the lines to write', async () => {
    const place = placed(moduleText({ workload: '' }))
    const { code, stdout, stderr } = await place.onefold('prove app.ts')
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain("export const workload = [\n    { topic: payments, data: { id: '1' } },\n  ]")
    const { document } = await place.json('prove app.ts')
    expect(document.error).toMatchObject({ code: 'OPTION_INVALID', details: { option: 'workload', file: 'app.ts' } })
  })

  test.each([
    ['export const workload = 3', 'workload', 'workload is 3'],
    ['export const workload = []', 'workload', 'workload is '],
    ["export const workload = [{ topic: 'payments', data: {} }]", 'workload[0]', 'workload[0] is '],
    ["export const workload = [{ topic: payments, data: {} }]; export const reset = 'x'", 'reset', 'reset is "x"'],
    [
      'export const workload = [{ topic: payments, data: {} }]; export const invariants = { a: 1 }',
      'invariants',
      'invariants is ',
    ],
    ["export const workload = [{ topic: payments, data: {} }]; export const honoursTokens = 'no'", 'honoursTokens', ''],
  ])('a module with `%s`: a typed error that names the export', async (workload, option, message) => {
    const { code, document } = await placed(moduleText({ workload })).json('prove app.ts --budget 100ms')
    expect(code).toBe(1)
    expect(document.error).toMatchObject({ code: 'OPTION_INVALID', details: { option } })
    expect(document.error.message).toContain(message)
  })

  test.each([
    ['export default () => 3', 'a function that returns a number'],
    ['export default async () => makeApp()', 'a function that returns a promise'],
    ["export default () => { throw new Error('no database') }", 'Error: no database'],
    ['export default 3', 'its default export is a number'],
  ])('a module with `%s`: a typed error that says what is there instead of an app', async (app, message) => {
    const { code, document } = await placed(moduleText({ app })).json('prove app.ts --budget 100ms')
    expect(code).toBe(1)
    expect(document.error).toMatchObject({ code: 'OPTION_INVALID', details: { option: 'MODULE' } })
    expect(document.error.message).toContain(message)
  })

  test('a handler that calls fetch: an error that names the line and how to declare it, and no request is made', async () => {
    const { code, document } = await placed(moduleText({ also: "await fetch('http://127.0.0.1:9/')" })).json(
      'prove app.ts --budget 1s',
    )
    expect(code).toBe(1)
    expect(document.error.code).toBe('NOT_POSSIBLE')
    expect(document.error.message).toContain('fetch(http://127.0.0.1:9/) is outside the simulation (app.ts:9)')
    expect(document.error.message).toContain('declared call')
  })
})

describe('onefold prove MODULE --write-test FILE', () => {
  test('a violation becomes a vitest test that fails, and passes once the handler is right', async () => {
    const place = placed(wrong)
    const { code, stderr } = await place.onefold('prove app.ts --write-test app.test.ts')
    expect(code).toBe(1)
    expect(stderr).toContain('app.test.ts is written')
    const written = readFileSync(place.path('app.test.ts'), 'utf8')
    expect(written).toContain("import app, { workload, setup, reset, invariants } from './app.ts'")
    expect(written).toMatch(/replay: '\d+:\d+'/)
    expect(written).toContain('// Violated: nothing is told twice')
    mkdirSync(place.path('node_modules'))
    symlinkSync(path('.'), place.path('node_modules/onefold'))
    symlinkSync(path('node_modules/vitest'), place.path('node_modules/vitest'))
    const vitest = [path('node_modules/vitest/vitest.mjs'), 'run', '--root', '.', '--reporter', 'verbose']
    const red = await place.run(process.execPath, vitest).ended
    expect(red.code).toBe(1)
    expect(red.stdout + red.stderr).toContain('Violated: nothing is told twice')
    place.write('app.ts', wrong.replace('told.push(p.id)', ''))
    const green = await place.run(process.execPath, vitest).ended
    expect(green.stdout).toContain('1 passed')
    expect(green.code).toBe(0)
  }, 60_000)

  test('never writes over a file, and says so before anything is run', async () => {
    const place = placed(wrong)
    writeFileSync(place.path('mine.ts'), 'mine')
    const { code, stdout, stderr } = await place.onefold('prove app.ts --write-test mine.ts')
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toContain('mine.ts is there already')
    expect(readFileSync(place.path('mine.ts'), 'utf8')).toBe('mine')
  })

  test('without a violation nothing is written, and that is said', async () => {
    const place = placed(moduleText())
    const { code, stderr } = await place.onefold('prove app.ts --budget 200ms --write-test app.test.ts')
    expect(code).toBe(0)
    expect(stderr).toBe('onefold: there was no violation, so app.test.ts is not written\n')
    expect(existsSync(place.path('app.test.ts'))).toBe(false)
  })
})
