import {isAbsolute, join} from 'node:path'

/** `$XDG_CACHE_HOME/clouder`, or `~/.cache/clouder`; a relative XDG_CACHE_HOME is ignored, as its standard says. */
export function cacheDir(
  environment: {readonly XDG_CACHE_HOME?: string | undefined},
  userHome: string,
): string {
  const said = environment.XDG_CACHE_HOME ?? ''
  return join(isAbsolute(said) ? said : join(userHome, '.cache'), 'clouder')
}
