import type { DatabaseStatus, ScheduleStatus } from '../inspect/status.ts'
import { occurrencesOf } from './occurrences.ts'

/** Says of every schedule when it is due next; in the past when it is overdue. */
export async function withNextInstants(status: DatabaseStatus): Promise<DatabaseStatus> {
  if (status.schedules.length === 0) return status
  return { ...status, schedules: await Promise.all(status.schedules.map(withNext)) }
}

async function withNext(schedule: ScheduleStatus): Promise<ScheduleStatus> {
  try {
    const occurrences = await occurrencesOf(schedule.pattern, schedule.timeZone)
    return { ...schedule, nextMs: occurrences.after(schedule.lastMs) ?? null }
  } catch {
    // Written by another version of the program, or on a machine with other time zones.
    return schedule
  }
}
