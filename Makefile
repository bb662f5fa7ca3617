# Every target is a command of run.py, which needs Python 3.11 and nothing else.
PYTHON ?= python3

.DEFAULT_GOAL := help
.PHONY: help up demo test quick check fix

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: ## Run OpenCapture until Ctrl-C
	@$(PYTHON) run.py up

demo: ## Run it and a capture through it, from session to search
	@$(PYTHON) run.py demo

test: ## Run every test
	@$(PYTHON) run.py test

quick: ## Run the tests that take less than ten seconds each
	@$(PYTHON) run.py quick

check: ## Lint, format, types, floors
	@$(PYTHON) run.py check

fix: ## Repair what ruff can repair
	@$(PYTHON) run.py fix
