"""The project's chores: `nox` runs them all, `nox -s tests` one of them."""

import nox

nox.options.sessions = ["lint", "typing", "tests", "docs"]


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """The whole suite. What isn't there (a browser, say) is skipped with the reason."""
    session.install("-e", ".[dev]")
    session.run("pytest", *session.posargs)


@nox.session(python="3.11")
def oldest(session: nox.Session) -> None:
    """The backends with the oldest drivers that pyproject.toml admits; the other sessions have the newest."""
    project = nox.project.load_toml("pyproject.toml")["project"]
    extras = project["optional-dependencies"]
    drivers = [needed for name in ("redis", "sql", "postgresql", "mysql") for needed in extras[name]]
    bounds = [needed for needed in project["dependencies"] + drivers if ">=" in needed]
    session.install("-e", ".[dev]", "mysqlclient", *(bound.replace(">=", "==") for bound in bounds))
    # SQLAlchemy 2.0 leaves a connection open that it could not prepare.
    session.run(
        "pytest", "-W", "ignore::pytest.PytestUnraisableExceptionWarning", "tests/backends", *session.posargs
    )


@nox.session
def lint(session: nox.Session) -> None:
    """Style, and the direction of imports."""
    session.install("-e", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session
def typing(session: nox.Session) -> None:
    """Types, strictly."""
    session.install("-e", ".[dev]")
    session.run("mypy")
    session.run("pyright")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation; a warning is an error."""
    session.install("-e", ".[docs]")
    session.run("sphinx-build", "-W", "-b", "html", "docs", "docs/_build/html")


@nox.session
def bench(session: nox.Session) -> None:
    """What a delivery costs. Takes minutes, and wants two cores to itself."""
    session.install("-e", ".[dev]")
    session.run("python", "-m", "tests.bench.fanout", *session.posargs)


@nox.session
def fuzz(session: nox.Session) -> None:
    """A million inputs that nobody would write. Takes an hour."""
    session.install("-e", ".[dev]")
    session.run("pytest", "tests/fuzz", *session.posargs, env={"TEST_FUZZ": "1000000"})
