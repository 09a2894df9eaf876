// What Chroma's servers say in answers Polychrome gives itself, word for word, by release (observed on 1.0.5 and 1.3.4).

import { PolychromeError } from '../../errors.ts';

/** 1.0.5 says "does not exists"; later releases mended it. */
export interface Wording {
  readonly modern: boolean;
}

const missing = ({ modern }: Wording): string => (modern ? 'does not exist' : 'does not exists');

export const collectionMissing = (wording: Wording, id: string): PolychromeError =>
  new PolychromeError('not_found', `Collection [${id}] ${missing(wording)}.`);

/** What a get by id is told; only releases that know schemas have it. */
export const collectionIdMissing = (id: string): PolychromeError =>
  new PolychromeError('not_found', `Collection [${id}] does not exist`);

export const collectionNameMissing = (wording: Wording, name: string): PolychromeError =>
  new PolychromeError('not_found', `Collection [${name}] ${missing(wording)}`);

export const collectionExists = (name: string): PolychromeError =>
  new PolychromeError('already_exists', `Collection [${name}] already exists`);

/** What a get of a missing database is told. */
export const databaseNotFound = (name: string): PolychromeError =>
  new PolychromeError('not_found', `Database [${name}] not found. Are you sure it exists?`);

export const databaseMissing = (name: string): PolychromeError =>
  new PolychromeError('not_found', `Database [${name}] not found`);

/** What a create in a missing database is told. */
export const databaseMissingForCreate = (name: string): PolychromeError =>
  new PolychromeError('invalid_argument', `Database [${name}] does not exist`);

export const databaseExists = (name: string): PolychromeError =>
  new PolychromeError('already_exists', `Database [${name}] already exists`);

export const tenantMissing = (name: string): PolychromeError =>
  new PolychromeError('not_found', `Tenant [${name}] not found`);

export const tenantExists = (name: string): PolychromeError =>
  new PolychromeError('already_exists', `Tenant [${name}] already exists`);

export const wrongDimension = (expected: number, got: number): PolychromeError =>
  new PolychromeError(
    'invalid_argument',
    `Collection expecting embedding with dimension of ${expected}, got ${got}`,
  );
