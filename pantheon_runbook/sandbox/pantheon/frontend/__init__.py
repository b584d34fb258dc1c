"""The stand-in web page and its build."""
