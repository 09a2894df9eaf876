// How far a split entry was applied where it is not applied whole: kept for the next leader, with the attempts.

export const appliedRecords = (s: string): string => `
-- How many of the first records of the entry some node had applied at this attempt.
alter table ${s}.entry_attempt add column applied_records int not null default 0;
`;
