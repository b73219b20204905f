import { describe, expect, test } from 'vitest'
import type { Applied, Sent, Total } from '../../demo/audit.ts'
import { addFindings, auditEffects, isClean } from '../../demo/audit.ts'

const sent: readonly Sent[] = [
  { delivery: 'd1', repository: 'a', n: 1, amount: 10 },
  { delivery: 'd2', repository: 'b', n: 1, amount: 5 },
  { delivery: 'd3', repository: 'a', n: 2, amount: 1 },
  { delivery: 'd4', repository: 'a', n: 3, amount: 7 },
]
const rowOf = (each: Sent): Applied => ({ ...each, countAfter: each.n })
const rows = sent.map(rowOf)
const totals: readonly Total[] = [
  { repository: 'a', count: 3, amount: 18 },
  { repository: 'b', count: 1, amount: 5 },
]
const clean = { lost: 0, appliedTwice: 0, foreign: 0, keyOrderViolations: 0, totalsWrong: 0 }

function audit(applied: readonly Applied[], of: readonly Total[] = totals) {
  return auditEffects('events', sent, applied, of)
}

describe("the demo's judge", () => {
  test('a run in which all went well is clean, whatever the order across repositories', () => {
    for (const applied of [rows, [rows[1]!, rows[0]!, rows[2]!, rows[3]!]]) {
      expect(audit(applied)).toEqual({ ...clean, examples: [] })
      expect(isClean(audit(applied))).toBe(true)
    }
  })

  test('a message without a row is lost, and named', () => {
    const findings = audit(rows.filter(({ delivery }) => delivery !== 'd4'))
    expect(findings).toMatchObject({ ...clean, lost: 1 })
    expect(findings.examples).toEqual(['events: delivery d4 (a number 3, amount 7) was never applied'])
    expect(isClean(findings)).toBe(false)
  })

  test('a second row is a double application, also when the totals hide it', () => {
    const findings = audit([...rows, rows[1]!])
    expect(findings).toMatchObject({ ...clean, appliedTwice: 1 })
    expect(findings.examples[0]).toContain('d2')
    expect(isClean(findings)).toBe(false)
  })

  test('later before earlier of one repository is a violation of order; a repeat of an old one is not', () => {
    const swapped: Applied[] = [rows[0]!, rows[1]!, rows[3]!, rows[2]!]
    expect(audit(swapped)).toMatchObject({ ...clean, keyOrderViolations: 1 })
    expect(audit([...rows, rows[0]!])).toMatchObject({ keyOrderViolations: 0, appliedTwice: 1 })
  })

  test('a gap alone is loss, not disorder', () => {
    expect(audit([rows[0]!, rows[1]!, rows[3]!])).toMatchObject({ lost: 1, keyOrderViolations: 0 })
  })

  test('wrong running totals show: by count, by sum, missing, made up, or wrong only for a moment', () => {
    const b = totals[1]!
    expect(audit(rows, [{ repository: 'a', count: 4, amount: 18 }, b])).toMatchObject({ ...clean, totalsWrong: 1 })
    expect(audit(rows, [{ repository: 'a', count: 3, amount: 19 }, b])).toMatchObject({ ...clean, totalsWrong: 1 })
    expect(audit(rows, [b])).toMatchObject({ ...clean, totalsWrong: 1 })
    expect(audit(rows, [...totals, { repository: 'x', count: 1, amount: 1 }])).toMatchObject({ ...clean, totalsWrong: 1 })
    const momentarily = rows.map((row) => (row.delivery === 'd3' ? { ...row, countAfter: 3 } : row))
    expect(audit(momentarily)).toMatchObject({ ...clean, totalsWrong: 1 })
  })

  test('a row of a message nobody sent, or with other content, is foreign', () => {
    const unknown: Applied = { delivery: 'd9', repository: 'a', n: 4, amount: 1, countAfter: 4 }
    expect(audit([...rows, unknown])).toMatchObject({ ...clean, foreign: 1 })
    expect(audit(rows.map((row) => (row.delivery === 'd2' ? { ...row, amount: 6 } : row)))).toMatchObject({ foreign: 1, lost: 1 })
  })

  test('findings of both tables add up', () => {
    const sum = addFindings([audit(rows.slice(1)), audit([...rows, rows[0]!])])
    expect(sum).toMatchObject({ lost: 1, appliedTwice: 1 })
    expect(sum.examples.length).toBe(2)
  })
})
