from app.base.settings import Settings
from app.embedded.stack import worker_argv


def jobs_at_once(settings: Settings, pool: str = "threads") -> int:
    argv = worker_argv(settings, pool)
    return int(argv[argv.index("--concurrency") + 1])


def test_who_waits_for_a_language_model_takes_no_jobs_place() -> None:
    given = Settings(worker_threads=4, language_url="http://127.0.0.1:11434", language_requests=3)
    assert jobs_at_once(given) == 4 + 2 * 3
    assert jobs_at_once(given, "prefork") == 4  # each would load the models anew
    assert jobs_at_once(Settings(worker_threads=4, language_url=None)) == 4
