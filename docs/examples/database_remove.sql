BEGIN;
DELETE FROM streamy_streams WHERE stream_id = 'news';
DELETE FROM streamy_entries WHERE stream_id = 'news';
COMMIT;
