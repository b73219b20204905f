import { OnefoldError } from '../errors.ts'
import type { Runtime } from '../runtime.ts'
import type { Comparison } from './compare.ts'
import { compare } from './compare.ts'
import type { CopyProgress, MoveSource, MoveTarget, PageLimits, SourceMark, TargetMark } from './move-store.ts'
import { movedTables } from './move-store.ts'
import { pageLimits, stored } from './pages.ts'

export interface MoveEnds {
  readonly source: MoveSource
  readonly target: MoveTarget
  readonly runtime: Runtime
}

export interface MoveOptions {
  readonly signal?: AbortSignal | undefined
  /** What is in memory at a time; default 1,000 rows or 4 MiB. */
  readonly limits?: PageLimits
  /** What has begun: 'seal', 'copy log', 'compare log'. */
  readonly onStep?: (step: string) => void
  readonly onProgress?: (table: string, progress: CopyProgress) => void
}

export interface MoveResult {
  readonly state: 'copied' | 'activated'
  readonly from: string
  readonly to: string
  readonly tables: readonly Comparison[]
}

/**
 * Seals the source, copies all that it holds, and compares both. May be stopped or killed at any point and called again: it
 * goes on where it was. The target refuses to work until `activate`; until then `giveUp` takes everything back.
 *
 * @throws OnefoldError `NOT_POSSIBLE` where source or target belong to another move, the target holds messages, or what was copied is
 *   not what the source holds; `ABORTED` by the signal.
 */
export async function move(ends: MoveEnds, options: MoveOptions = {}): Promise<MoveResult> {
  const { source, target } = ends
  const { signal, limits = pageLimits } = options
  const reserved = await reserve(ends)
  if (reserved.state === 'activated') throw alreadyActivated(target)
  options.onStep?.('seal')
  const mark = await source.seal({ id: reserved.id, to: target.where })
  if (mark.id !== reserved.id) throw sealedForAnother(source, mark)
  await ends.runtime.reached?.('move:sealed')
  for (const table of movedTables) {
    options.onStep?.(`copy ${table.name}`)
    for (let done = false; !done; ) {
      if (signal?.aborted === true)
        throw new OnefoldError('ABORTED', 'the move was stopped; the same command goes on with it.', { retry: 'now' })
      const progress = await target.append(reserved.id, table, async ({ after }) => {
        const page = await source.page(table, after, limits)
        return { ...page, rows: stored(table, page.rows) }
      })
      options.onProgress?.(table.name, progress)
      done = progress.done
      await ends.runtime.reached?.('move:copied')
    }
  }
  await target.finish(reserved.id, await source.numbersGiven())
  await ends.runtime.reached?.('move:finished')
  return { state: 'copied', from: source.where, to: target.where, tables: await compared(ends, options) }
}

/**
 * Compares once more, and lets programs start on the target. From here on the source can never be used again.
 *
 * @throws OnefoldError `NOT_POSSIBLE` where the copy is not complete, or not what the source holds.
 */
export async function activate(ends: MoveEnds, options: Pick<MoveOptions, 'onStep'> = {}): Promise<MoveResult> {
  const { source, target, runtime } = ends
  const { mark, there } = await look(ends)
  const notCopied = (why: string): OnefoldError =>
    new OnefoldError('NOT_POSSIBLE', `${why}: run \`onefold move\` without --activate first, until it says that all is copied.`, {
      details: { from: source.where, to: target.where },
    })
  if (mark === undefined) throw notCopied(`${source.where} is in use and has not been moved`)
  if (mark.state === 'given-up') throw beingGivenUp(source)
  if (there?.id !== mark.id) throw notCopied(`${target.where} holds no copy of ${source.where}`)
  if (there.state === 'copying') throw notCopied(`the copy of ${source.where} is not complete`)
  const tables = there.state === 'activated' ? [] : await compared(ends, options)
  // The source first: once it can no longer be given up, the target may work, and not before.
  if (mark.state === 'sealed' && !(await source.change(mark.id, 'sealed', 'final'))) throw beingGivenUp(source)
  await runtime.reached?.('move:final')
  await target.activate(mark.id)
  await runtime.reached?.('move:activated')
  return { state: 'activated', from: source.where, to: target.where, tables }
}

/**
 * Throws away what was copied; the source works again. Its epochs stay raised. Its incarnation stays what it was: no copy of it
 * has ever worked, and none ever will. Answers false when there was nothing to give up.
 *
 * @throws OnefoldError `NOT_POSSIBLE` after activation.
 */
export async function giveUp(ends: MoveEnds): Promise<boolean> {
  const { source, target, runtime } = ends
  const { incarnation, mark, there } = await look(ends)
  if (mark === undefined) {
    // Killed between the reservation and the seal.
    if (there === undefined || there.incarnation !== incarnation || there.state === 'activated') return false
    await target.throwAway(there.id)
    return true
  }
  const activated = (): OnefoldError =>
    new OnefoldError(
      'NOT_POSSIBLE',
      `${source.where} has been moved to ${mark.to} and activated there: it can never be used again, because what was applied there since would be applied twice.`,
      { details: { from: source.where, to: mark.to } },
    )
  if (mark.state === 'final' || (there?.id === mark.id && there.state === 'activated')) throw activated()
  if (there?.id !== mark.id && mark.to !== target.where) throw sealedForAnother(source, mark)
  // From here on nobody can activate it, so that nothing is thrown away that works.
  if (mark.state === 'sealed' && !(await source.change(mark.id, 'sealed', 'given-up'))) throw activated()
  await runtime.reached?.('move:giving-up')
  if (there?.id === mark.id) await target.throwAway(mark.id)
  await runtime.reached?.('move:thrown-away')
  await source.change(mark.id, 'given-up', undefined)
  return true
}

async function reserve(ends: MoveEnds): Promise<TargetMark> {
  const { source, target, runtime } = ends
  const { incarnation, mark, there } = await look(ends)
  if (mark?.state === 'given-up') throw beingGivenUp(source)
  const mine = mark === undefined ? there?.incarnation === incarnation : there?.id === mark.id
  if (there !== undefined && mine) return there
  if (mark !== undefined && mark.to !== target.where) throw sealedForAnother(source, mark)
  if (mark?.state === 'final') throw sealedForAnother(source, mark)
  const reserved = await target.reserve({ id: mark?.id ?? runtime.uuid(), from: source.where, incarnation })
  await runtime.reached?.('move:reserved')
  if (reserved.incarnation === incarnation && (mark === undefined || reserved.id === mark.id)) return reserved
  throw new OnefoldError(
    'NOT_POSSIBLE',
    `${target.where} is the target of a move of ${reserved.from} already; name another schema.`,
    {
      details: { to: target.where, from: reserved.from },
    },
  )
}

interface Marks {
  readonly incarnation: string
  readonly mark: SourceMark | undefined
  readonly there: TargetMark | undefined
}

/** @throws OnefoldError where the source is a backup of the one that is moved: it has the same mark, and is not it. */
async function look({ source, target }: MoveEnds): Promise<Marks> {
  const { incarnation, mark } = await source.look()
  const there = await target.mark()
  if (mark === undefined || there?.id !== mark.id || there.incarnation === incarnation) return { incarnation, mark, there }
  throw new OnefoldError(
    'NOT_POSSIBLE',
    `${source.where} is a copy of ${there.from}, made after that was sealed: only ${there.from} itself can be moved on, or given up.`,
    { details: { from: there.from, copy: source.where } },
  )
}

async function compared(ends: MoveEnds, { onStep }: Pick<MoveOptions, 'onStep'>): Promise<Comparison[]> {
  const tables = await compare(ends.source, ends.target, (name) => onStep?.(`compare ${name}`))
  const different = tables.filter(({ same }) => !same)
  if (different.length === 0) return tables
  const found = different.map(
    ({ table, source, target }) =>
      `${table} (${source.rows} rows, checksum ${source.checksum}; there ${target.rows}, ${target.checksum})`,
  )
  throw new OnefoldError(
    'NOT_POSSIBLE',
    `what was copied is not what ${ends.source.where} holds: ${found.join('; ')}. Give the move up with --unseal and begin again.`,
    { details: { from: ends.source.where, to: ends.target.where, tables: different.map(({ table }) => table).join(', ') } },
  )
}

function sealedForAnother(source: MoveSource, { to, state }: SourceMark): OnefoldError {
  const what = state === 'final' ? 'has been moved' : 'is being moved'
  const next = state === 'final' ? 'There is nothing to be moved any more.' : 'Go on with that one, or give it up with --unseal.'
  return new OnefoldError('NOT_POSSIBLE', `${source.where} ${what} to ${to}, and only there. ${next}`, {
    details: { from: source.where, to },
  })
}

function beingGivenUp(source: MoveSource): OnefoldError {
  return new OnefoldError(
    'NOT_POSSIBLE',
    `the move of ${source.where} is being given up: run it with --unseal again to finish that.`,
    {
      details: { from: source.where },
    },
  )
}

function alreadyActivated(target: MoveTarget): OnefoldError {
  return new OnefoldError('NOT_POSSIBLE', `the move to ${target.where} has been activated already: start your programs there.`, {
    details: { to: target.where },
  })
}
