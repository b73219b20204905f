import { mkdirSync, readFileSync, symlinkSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { stripVTControlCharacters } from 'node:util'
import { describe, expect, test } from 'vitest'
import { Place } from './run-onefold.ts'

const path = (name: string): string => fileURLToPath(new URL(`../../${name}`, import.meta.url))
const read = (name: string): string => readFileSync(path(name), 'utf8')
const page = read('docs/proving.md')
const before = read('examples/prove/before/receipts.ts')
const after = read('examples/prove/after/receipts.ts')

function blocks(language: string): string[] {
  return [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map((match) => match[1] as string)
}

/** What the page shows for a command, without its first line: the command. */
function shown(command: string, nth = 0): string {
  const found = blocks('text').filter((block) => block.startsWith(`$ ${command}\n`))[nth]
  if (found === undefined) throw new Error(`docs/proving.md shows no output of: ${command}`)
  return found.slice(found.indexOf('\n') + 1).trimEnd()
}

function placeOf(content: string): Place {
  const place = new Place()
  place.write('receipts.ts', content)
  mkdirSync(place.path('node_modules'))
  symlinkSync(path('.'), place.path('node_modules/onefold'))
  symlinkSync(path('node_modules/vitest'), place.path('node_modules/vitest'))
  return place
}

/** How often something went wrong depends on the machine; that, and how much was tried, is not compared. */
const sections = (certificate: string): string =>
  certificate
    .slice(certificate.indexOf('\nChecked:'))
    .replace(/^ *\d+ {2}\S.*\n/gm, '')
    .trimEnd()

describe('docs/proving.md', () => {
  test('begins with the handler of examples/prove/before, and mends it to that of examples/prove/after', () => {
    const [first, mended] = blocks('ts')
    expect(first).toBe(before)
    expect(after).toContain(mended)
  })

  test('shows the story that onefold prove really tells of it', async () => {
    const place = placeOf(before)
    const { code, stdout } = await place.onefold('prove receipts.ts --budget 5s')
    expect(code).toBe(1)
    expect(stdout.trimEnd()).toBe(shown('onefold prove receipts.ts'))
  })

  test('shows the certificate that onefold prove really gives of the mended handler', async () => {
    const { code, stdout } = await placeOf(after).onefold('prove receipts.ts --budget 4s')
    expect(code).toBe(0)
    const certificate = shown('onefold prove receipts.ts', 1)
    expect(certificate).toMatch(/^No violation in [\d,]+ schedules: /)
    expect(sections(stdout)).toBe(sections(certificate))
  })

  test('shows what is said of a mail server that knows no tokens', async () => {
    const [, , line] = blocks('ts')
    const { code, stdout } = await placeOf(`${after}\n${line}`).onefold('prove receipts.ts --budget 5s')
    expect(line).toBe('export const honoursTokens = false\n')
    expect(code).toBe(1)
    expect(stdout.trimEnd()).toBe(shown('onefold prove receipts.ts', 2))
    expect(page).toContain("`{ whenUnknown: 'ask-person' }`")
    const asking = `${after}\n${line}`.replace(', token)),', ", token), { whenUnknown: 'ask-person' }),")
    const settled = await placeOf(asking).onefold('prove receipts.ts --budget 2s')
    expect(asking).toContain('ask-person')
    expect(settled.stdout).toMatch(/^No violation/)
  })

  test('its regression test and its test of a whole app fail for the wrong handler; the mended one passes', async () => {
    const whole = read('examples/prove/after/receipts.test.ts')
    expect(blocks('ts')).toContain(whole)
    const wrong = placeOf(before)
    const vitest = [path('node_modules/vitest/vitest.mjs'), 'run', '--root', '.']
    await wrong.onefold('prove receipts.ts --write-test regression.test.ts')
    wrong.write('whole.test.ts', whole)
    const red = await wrong.run(process.execPath, vitest).ended
    expect(stripVTControlCharacters(red.stdout)).toMatch(/Tests +2 failed/)
    const mended = placeOf(after)
    mended.write('whole.test.ts', whole)
    const green = await mended.run(process.execPath, vitest).ended
    expect(stripVTControlCharacters(green.stdout)).toMatch(/Tests +1 passed/)
  }, 60_000)
})
