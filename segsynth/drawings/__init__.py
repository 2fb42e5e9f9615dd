"""Finished drawings side by side: what one method adds, how a training went, whom people prefer."""
