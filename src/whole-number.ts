import { optionInvalid } from './errors.ts'

/** An option that is a whole number from `min` to `max`. @throws OnefoldError `OPTION_INVALID` naming it. */
export function whole(option: string, value: number | undefined, standard: number, min: number, max: number): number {
  if (value === undefined) return standard
  if (!Number.isSafeInteger(value) || value < min || value > max)
    throw optionInvalid(option, value, `a whole number from ${min} to ${max}`)
  return value
}
