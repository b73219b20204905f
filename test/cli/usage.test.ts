import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { Place } from './run-onefold.ts'

const commands = [
  'publish',
  'consume',
  'status',
  'explain',
  'prove',
  'attention',
  'group',
  'topic',
  'erase',
  'backup',
  'migrate',
  'move',
]

describe.concurrent('the command line', () => {
  test('says its version', async () => {
    const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
    expect(await new Place().onefold('--version')).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: '' })
  })

  test('lists its commands, and what the exit codes mean', async () => {
    const { code, stdout } = await new Place().onefold('--help')
    expect(code).toBe(0)
    for (const command of commands) expect(stdout).toMatch(new RegExp(`^ {2}${command} +\\w`, 'm'))
    expect(stdout).toContain('Exit codes')
  })

  test.each(commands)('%s --help: usage, promise, options with defaults, an example; nothing is opened', async (command) => {
    const place = new Place()
    const { code, stdout, stderr } = await place.onefold(`${command} --help`)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(new RegExp(`^Usage: onefold ${command}`))
    for (const heading of [/^Promise$/m, /^Options$/m, /^Examples?$/m]) expect(stdout).toMatch(heading)
    expect(stdout.replace(/\s+/g, ' ')).toContain(
      '--db FILE|URL the database file, or postgres://user@host/database (default: $ONEFOLD_DB, or else ./onefold.db)',
    )
    expect(stdout).toContain('--json')
    expect(place.has('onefold.db')).toBe(false)
  })

  test.each([
    ['', 'name a command: publish, consume'],
    ['nope', 'unknown command "nope"'],
    ['--db x.db status', 'the command comes before --db'],
    ['status --wach', 'unknown option --wach; there are: --watch --db --schema --json --help'],
    ['status extra', 'status takes no argument'],
    ['publish', 'publish needs a TOPIC'],
    ['publish t a b', 'publish takes one FILE'],
    ['publish t --id a[', '--id is "a["; it must be a path'],
    ['consume', 'consume needs a TOPIC'],
    ['consume t', 'consume needs --group G'],
    ['consume t --group g --concurrency 0', '--concurrency is "0"; it must be a whole number from 1 to 1000'],
    ['consume t --group g --timeout-ms 100', '--timeout-ms goes with --exec'],
    ['consume t --group g --from here', '--from is "here"; it must be one of: earliest, latest'],
    ['explain a.ts b.ts', 'explain takes one MODULE, but got "b.ts" as well'],
    ['explain a.ts --db x.db', '--db goes without a MODULE'],
    ['explain a.ts --write x --check y', '--write accepts what is, --check compares'],
    ['explain --check x', '--check needs a MODULE'],
    ['attention resolve', 'unknown action "resolve"; attention knows list, show, redrive, edit, discard, settle'],
    ['attention settle', 'attention settle needs one ID'],
    ['attention settle a1 --as happened', 'attention settle needs --by NAME'],
    ['attention settle a1 --by mia', 'attention settle needs --as happened, did-not-happen or voided'],
    ['attention settle a1 --by mia --as voided --result 1', '--result goes with --as happened, not with voided'],
    ['attention edit a1 --by mia', 'attention edit needs an ID and a FILE (- for stdin)'],
    ['attention redrive a1 --all', 'attention redrive takes either IDs or --all'],
    ['attention redrive --all --yes --expect 3', '--yes and --expect exclude each other'],
    ['attention show', 'attention show needs one ID'],
    ['attention redrive', 'attention redrive needs at least one ID'],
    ['attention discard a1', 'attention discard needs --reason TEXT'],
    ['attention discard a1 --reason x', 'attention discard needs --by NAME'],
    ['attention redrive a1 --group g', '--group goes with attention redrive --all'],
    ['attention show a1 --group g', '--group goes with attention list and redrive and discard, not with show'],
    ['group remove g', 'group remove needs --topic TOPIC'],
    ['topic change', 'topic change needs a NAME'],
    ['topic change t', 'topic change needs what to change'],
    ['topic change t --partitions 300', '--partitions is "300"'],
    ['backup', 'backup needs a FILE'],
    ['migrate down', 'unknown action "down"; migrate knows status, up, print'],
    ['migrate up now', 'migrate up got an argument too many: "now"'],
    ['status --schema other', '--schema goes with a postgres:// URL'],
    [
      'status --db mysql://root:secret@localhost/shop',
      '--db takes a file or a postgres:// URL, and this one begins with mysql://',
    ],
    ['status --db postgres://u:secret@localhost:port/shop', 'the URL of the database cannot be read'],
  ])('%j is refused with exit code 2, naming what is wrong', async (words, message) => {
    const place = new Place()
    const { code, stdout, stderr } = await place.onefold(words)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain(`onefold: ${message}`)
    expect(stderr).toMatch(/--help tells more\n$/)
    expect(place.has('onefold.db')).toBe(false)
  })

  test('with --json a mistake is one JSON document as well', async () => {
    expect(await new Place().json('consume t --group g')).toMatchObject({
      code: 2,
      stderr: '',
      document: { error: { code: 'USAGE', message: expect.stringContaining('--json needs --exec') } },
    })
  })

  test.each([
    'status',
    'explain',
    'attention',
    'group',
    'topic',
    'backup copy.db',
    'attention redrive a1',
    'group remove g --topic t',
  ])('%s on a file that is not there: says so, and makes none', async (words) => {
    const place = new Place()
    const ended = await place.onefold(`${words} --db missing.db`)
    expect(ended).toMatchObject({ code: 1, stdout: '' })
    expect(ended.stderr).toContain('onefold: there is no database at missing.db')
    expect(ended.stderr).toContain('code NOT_FOUND: nothing was changed')
    expect((await place.json(`${words} --db missing.db`)).document).toEqual({
      error: {
        code: 'NOT_FOUND',
        message: expect.stringContaining('missing.db'),
        outcome: 'not-applied',
        retry: 'never',
        details: { file: 'missing.db' },
      },
    })
    expect(place.has('missing.db')).toBe(false)
  })
})
