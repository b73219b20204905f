/** Time that processes have spent computing: what a busy neighbour does not change. Linux only. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'

const tickMs = 10

interface Times {
  readonly parent: number
  readonly own: number
  /** Of its children that have ended. */
  readonly ended: number
}

/** https://www.man7.org/linux/man-pages/man5/proc_pid_stat.5.html: fields 4 and 14 to 17. */
function timesOf(pid: number): Times | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const number = (field: number): number => Number(fields[field - 3])
    return {
      parent: number(4),
      own: (number(14) + number(15)) * tickMs,
      ended: (number(16) + number(17)) * tickMs,
    }
  } catch {
    return undefined
  }
}

/** In ms, of these processes and of these ones' children, those that have ended included; undefined where nobody can tell. */
export function cpuMs(pids: readonly number[], withChildren: boolean): number | undefined {
  if (!existsSync('/proc/self/stat')) return undefined
  let total = 0
  for (const pid of pids) {
    const times = timesOf(pid)
    total += (times?.own ?? 0) + (withChildren ? (times?.ended ?? 0) : 0)
  }
  if (!withChildren) return total
  for (const name of readdirSync('/proc')) {
    const times = /^\d+$/.test(name) ? timesOf(Number(name)) : undefined
    if (times !== undefined && pids.includes(times.parent)) total += times.own
  }
  return total
}
